"""Real worker processes on a real broker: runs succeed, fail, are cancelled, killed and drained."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.threads import SPINS
from storage.experiments.cancel import cancel_experiment
from storage.files.artifacts import list_artifacts
from storage.runs.workers import list_workers
from tests.waiting import wait_until
from tests.workers.worker_harness import WorkerHarness

pytestmark = pytest.mark.xdist_group("worker_process")

SHORT = {"kind": "train", "epochs": 2, "model": {"name": "relu_net", "width": 5}}
LONG = {"kind": "train", "epochs": 150, "model": {"name": "relu_net", "width": 20}}
ENDLESS = {"kind": "train", "epochs": 10_000, "model": {"name": "relu_net", "width": 20}}


@pytest.fixture(scope="module")
def harness(make_harness: Callable[..., WorkerHarness]) -> WorkerHarness:
    """With one worker of one slot, shared by the tests of this file."""
    made = make_harness()
    made.start_worker(OMP_DISPLAY_ENV="VERBOSE", RICHREGIME_WORKER_NICENESS="3")
    return made


def test_a_run_is_executed_and_all_its_results_are_stored(harness: WorkerHarness) -> None:
    experiment_id, run_id = harness.submit(SHORT, (3, 4))
    row = harness.wait(run_id, "succeeded")
    assert row.result is not None
    assert [seed_result["seed"] for seed_result in row.result] == [3, 4]
    assert row.attempts == 1
    assert row.progress_completed == row.progress_total == 4
    assert sorted(harness.thetas(run_id)) == [
        ("theta_0", 3),
        ("theta_0", 4),
        ("theta_T", 3),
        ("theta_T", 4),
    ]
    accuracies = [point for point in harness.metrics(run_id) if point.name == "test_accuracy"]
    assert [(point.seed, point.step) for point in accuracies] == [
        (seed, epoch) for seed in (3, 4) for epoch in (0, 1, 2)
    ]
    summary = wait_until(lambda: harness.experiment(experiment_id).summary)
    assert summary["points"][0]["test_accuracy"]["n"] == 2
    events = harness.events(experiment_id)
    assert events[0] == "experiment.submitted"
    assert events[-1] == "experiment.finished"
    assert events.count("experiment.finished") == 1


def test_children_wait_briefly_and_give_way_to_other_programs(harness: WorkerHarness) -> None:
    _, run_id = harness.submit(SHORT)
    harness.wait(run_id, "succeeded")
    assert f"GOMP_SPINCOUNT = '{SPINS}'" in harness.log
    own = os.getpriority(os.PRIO_PROCESS, 0)
    child = os.getpriority(os.PRIO_PROCESS, harness.child_of(run_id))
    assert child == min(19, own + 3)


def test_an_idle_child_has_returned_the_memory_of_its_run(harness: WorkerHarness) -> None:
    data = {"name": "digits", "train_size": 256, "test_size": 250}
    spec = {"kind": "train", "epochs": 1, "data": data, "model": {"name": "vgg5"}}
    _, run_id = harness.submit(spec)
    harness.wait(run_id, "succeeded")
    child = harness.child_of(run_id)
    wait_until(lambda: _memory(child, "VmHWM") - _memory(child, "VmRSS") > 50)


def _memory(process: int, name: str) -> float:
    """MiB, from `/proc`."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def test_a_manifest_names_spec_data_device_and_versions(harness: WorkerHarness) -> None:
    _, run_id = harness.submit(SHORT)
    manifest = harness.wait(run_id, "succeeded").manifest
    assert manifest is not None
    assert manifest["spec"]["optimizer"]["name"] == "adam"
    assert len(manifest["data_sha256"]) == 64
    assert manifest["device"] == "cpu"
    assert {"python", "torch", "richregime"} <= set(manifest["versions"])


def test_the_run_of_a_killed_child_is_resumed_at_once_with_equal_bits(
    harness: WorkerHarness,
) -> None:
    reference_experiment, reference = harness.submit(LONG, (0, 1))
    harness.wait(reference, "succeeded")
    experiment_id, run_id = harness.submit(LONG, (0, 1))
    harness.wait_for_checkpoint(run_id)
    os.kill(harness.child_of(run_id), signal.SIGKILL)
    killed_at = time.monotonic()
    wait_until(lambda: "run.lease_lost" in harness.events(experiment_id), 10)
    assert time.monotonic() - killed_at < 8, "the run was taken only when its lease expired"
    row = harness.wait(run_id, "succeeded")
    assert row.attempts == 2
    assert "run.resumed" in harness.events(experiment_id)
    assert "run.resumed" not in harness.events(reference_experiment)
    assert harness.metrics(run_id) == harness.metrics(reference)
    assert harness.thetas(run_id) == harness.thetas(reference)


def test_a_running_run_is_cancelled_within_seconds_and_keeps_its_metrics(
    harness: WorkerHarness,
) -> None:
    experiment_id, run_id = harness.submit(ENDLESS)
    harness.wait_for_checkpoint(run_id)
    with harness.db.write() as session:
        cancel_experiment(session, experiment_id)
    requested_at = time.monotonic()
    harness.wait(run_id, "cancelled")
    assert time.monotonic() - requested_at < 4
    assert harness.metrics(run_id)
    assert harness.events(experiment_id).count("run.cancelled") == 1


def test_many_wake_ups_execute_a_run_once(harness: WorkerHarness) -> None:
    experiment_id, run_id = harness.submit(SHORT)
    for _ in range(20):
        harness.send_wake_up()
    assert harness.wait(run_id, "succeeded").attempts == 1
    _, after = harness.submit(SHORT)
    harness.wait(after, "succeeded")
    assert harness.events(experiment_id).count("run.started") == 1


def test_a_run_without_a_wake_up_is_executed(harness: WorkerHarness) -> None:
    _, run_id = harness.submit(SHORT, wake=False)
    harness.wait(run_id, "succeeded", 30)


def test_a_run_that_exceeds_max_seconds_fails_with_timeout(harness: WorkerHarness) -> None:
    experiment_id, run_id = harness.submit(ENDLESS, max_seconds=1)
    row = harness.wait(run_id, "failed")
    assert row.error_code == "timeout"
    assert harness.experiment(experiment_id).status == "failed"


def test_an_unknown_data_set_fails_the_run_with_a_message(harness: WorkerHarness) -> None:
    _, run_id = harness.submit({**SHORT, "data": {"name": "unknown"}})
    row = harness.wait(run_id, "failed")
    assert row.error_code == "dataset_unavailable"
    assert row.error_detail is not None
    assert "unknown" in row.error_detail
    assert "Traceback" not in row.error_detail


def test_the_resume_state_is_deleted_when_its_run_ends(harness: WorkerHarness) -> None:
    _, run_id = harness.submit(LONG)
    harness.wait_for_checkpoint(run_id)
    harness.wait(run_id, "succeeded")
    with harness.db.read() as session:
        assert list_artifacts(session, run_id, "resume") == []
    referenced = set(harness.thetas(run_id).values())
    stored = {path.name for path in harness.settings.resolved_blob_dir.glob("??/*")}
    assert referenced <= stored
    resume = [
        name
        for name in stored
        if b'"run_id":"' + run_id.encode() in harness.blobs.read(name)[:4096]
    ]
    assert resume == []


def test_a_killed_worker_leaves_no_child(harness: WorkerHarness) -> None:
    """The last test of the shared harness: it kills the worker."""
    _, run_id = harness.submit(ENDLESS)
    harness.wait_for_checkpoint(run_id)
    child = harness.child_of(run_id)
    harness.processes[0].kill()
    harness.processes[0].wait()
    wait_until(lambda: not os.path.exists(f"/proc/{child}"), 5)


def test_a_terminated_worker_releases_its_run_without_counting_an_attempt(
    make_harness: Callable[..., WorkerHarness],
) -> None:
    harness = make_harness()
    worker = harness.start_worker()
    experiment_id, run_id = harness.submit(ENDLESS)
    harness.wait_for_checkpoint(run_id)
    child = harness.child_of(run_id)
    worker.send_signal(signal.SIGTERM)
    requested_at = time.monotonic()
    assert worker.wait(timeout=20) == 0, harness.log
    assert time.monotonic() - requested_at < 12
    row = harness.run(run_id)
    assert (row.status, row.interruptions, row.attempts) == ("queued", 1, 0)
    assert harness.events(experiment_id).count("run.interrupted") == 1
    assert not os.path.exists(f"/proc/{child}")
    with harness.db.read() as session:
        assert list_workers(session) == []


def test_children_of_one_worker_renew_their_leases_in_one_transaction(
    make_harness: Callable[..., WorkerHarness],
) -> None:
    harness = make_harness()
    harness.start_worker(slots=2)
    submitted = [harness.submit(ENDLESS) for _ in range(2)]
    runs = [run_id for _, run_id in submitted]

    def are_renewed_together() -> bool:
        first, second = (harness.run(run_id).lease_until for run_id in runs)
        return first is not None and first == second

    wait_until(are_renewed_together, 60)
    for experiment_id, run_id in submitted:
        with harness.db.write() as session:
            cancel_experiment(session, experiment_id)
        harness.wait(run_id, "cancelled")
