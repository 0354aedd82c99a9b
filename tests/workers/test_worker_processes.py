"""A worker and its children, killed, drained, cancelled, rung too often: real processes on a real broker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from storage.experiments.cancel import cancel_experiment
from storage.files.artifacts import list_artifacts
from storage.runs.workers import list_workers
from tests.waiting import wait_until
from tests.workers.conftest import Lab

pytestmark = pytest.mark.xdist_group("worker_processes")

SHORT = {"kind": "train", "epochs": 2, "model": {"name": "relu_net", "width": 5}}
LONG = {"kind": "train", "epochs": 150, "model": {"name": "relu_net", "width": 20}}
ENDLESS = {"kind": "train", "epochs": 10_000, "model": {"name": "relu_net", "width": 20}}


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., Lab]) -> Lab:
    """With one worker of one slot, shared by the tests that leave it as they found it."""
    made = make_lab()
    made.start_worker()
    return made


def test_a_run_is_executed_and_archived_whole(lab: Lab) -> None:
    experiment_id, run_id = lab.submit(SHORT, (3, 4))
    row = lab.wait(run_id, "succeeded")
    assert [seed_result["seed"] for seed_result in row.result] == [3, 4]
    assert row.attempts == 1
    assert row.progress_completed == row.progress_total == 4
    assert sorted(lab.thetas(run_id)) == [
        ("theta_0", 3),
        ("theta_0", 4),
        ("theta_T", 3),
        ("theta_T", 4),
    ]
    accuracies = [point for point in lab.metrics(run_id) if point.name == "test_accuracy"]
    assert [(point.seed, point.step) for point in accuracies] == [
        (s, e) for s in (3, 4) for e in (0, 1, 2)
    ]
    summary = wait_until(lambda: lab.experiment(experiment_id).summary)
    assert summary["points"][0]["test_accuracy"]["n"] == 2
    events = lab.events(experiment_id)
    assert events[0] == "experiment.submitted"
    assert events[-1] == "experiment.finished"
    assert events.count("experiment.finished") == 1


def test_a_manifest_says_what_was_computed_by_what_on_what(lab: Lab) -> None:
    _, run_id = lab.submit(SHORT)
    manifest = lab.wait(run_id, "succeeded").manifest
    assert manifest["spec"]["optimizer"]["name"] == "adam"
    assert len(manifest["data_sha256"]) == 64
    assert manifest["device"] == "cpu"
    assert {"python", "torch", "richregime"} <= set(manifest["versions"])


def test_a_killed_child_is_missed_at_once_and_its_run_goes_on_with_equal_bits(lab: Lab) -> None:
    whole_experiment, whole = lab.submit(LONG, (0, 1))
    lab.wait(whole, "succeeded")
    experiment_id, run_id = lab.submit(LONG, (0, 1))
    lab.wait_for_checkpoint(run_id)
    os.kill(lab.child_of(run_id), signal.SIGKILL)
    killed_at = time.monotonic()
    wait_until(lambda: "run.lease_lost" in lab.events(experiment_id), 10)
    assert time.monotonic() - killed_at < 8, "it was waited for the lease"
    row = lab.wait(run_id, "succeeded")
    assert row.attempts == 2
    assert "run.resumed" in lab.events(experiment_id)
    assert "run.resumed" not in lab.events(whole_experiment)
    assert lab.metrics(run_id) == lab.metrics(whole)
    assert lab.thetas(run_id) == lab.thetas(whole)


def test_a_run_under_way_is_cancelled_within_seconds_and_keeps_its_numbers(lab: Lab) -> None:
    experiment_id, run_id = lab.submit(ENDLESS)
    lab.wait_for_checkpoint(run_id)
    with lab.db.write() as session:
        cancel_experiment(session, experiment_id)
    asked_at = time.monotonic()
    lab.wait(run_id, "cancelled")
    assert time.monotonic() - asked_at < 4
    assert lab.metrics(run_id)
    assert lab.events(experiment_id).count("run.cancelled") == 1


def test_a_bell_rung_many_times_runs_a_run_once(lab: Lab) -> None:
    experiment_id, run_id = lab.submit(SHORT)
    for _ in range(20):
        lab.send_wake_up()
    assert lab.wait(run_id, "succeeded").attempts == 1
    _, after = lab.submit(SHORT)
    lab.wait(after, "succeeded")
    assert lab.events(experiment_id).count("run.started") == 1


def test_a_run_whose_bell_was_lost_is_found(lab: Lab) -> None:
    _, run_id = lab.submit(SHORT, wake=False)
    lab.wait(run_id, "succeeded", 30)


def test_a_run_that_computes_too_long_fails_with_timeout(lab: Lab) -> None:
    experiment_id, run_id = lab.submit(ENDLESS, max_seconds=1)
    row = lab.wait(run_id, "failed")
    assert row.error_code == "timeout"
    assert lab.experiment(experiment_id).status == "failed"


def test_a_data_set_that_is_not_there_fails_the_run_with_words(lab: Lab) -> None:
    _, run_id = lab.submit({**SHORT, "data": {"name": "nobodys"}})
    row = lab.wait(run_id, "failed")
    assert row.error_code == "dataset_unavailable"
    assert "nobodys" in row.error_detail
    assert "Traceback" not in row.error_detail


def test_resume_state_goes_with_its_run(lab: Lab) -> None:
    _, run_id = lab.submit(LONG)
    lab.wait_for_checkpoint(run_id)
    lab.wait(run_id, "succeeded")
    with lab.db.read() as session:
        assert list_artifacts(session, run_id, "resume") == []
    with_row = set(lab.thetas(run_id).values())
    young = {path.name for path in lab.settings.resolved_blob_dir.glob("??/*")}
    assert with_row <= young
    resume = [
        name for name in young if b'"run_id":"' + run_id.encode() in lab.blobs.read(name)[:4096]
    ]
    assert resume == []


def test_a_killed_worker_leaves_no_child(lab: Lab) -> None:
    """The last test of the shared laboratory: its worker is gone after it."""
    _, run_id = lab.submit(ENDLESS)
    lab.wait_for_checkpoint(run_id)
    child = lab.child_of(run_id)
    lab.processes[0].kill()
    lab.processes[0].wait()
    wait_until(lambda: not os.path.exists(f"/proc/{child}"), 5)


def test_a_worker_asked_to_end_gives_its_run_back_without_counting_an_attempt(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab()
    worker = lab.start_worker()
    experiment_id, run_id = lab.submit(ENDLESS)
    lab.wait_for_checkpoint(run_id)
    child = lab.child_of(run_id)
    worker.send_signal(signal.SIGTERM)
    asked_at = time.monotonic()
    assert worker.wait(timeout=20) == 0, lab.log
    assert time.monotonic() - asked_at < 12
    row = lab.run(run_id)
    assert (row.status, row.interruptions, row.attempts) == ("queued", 1, 0)
    assert lab.events(experiment_id).count("run.interrupted") == 1
    assert not os.path.exists(f"/proc/{child}")
    with lab.db.read() as session:
        assert list_workers(session) == []
