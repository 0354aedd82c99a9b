"""Single faults of real processes, which the soak injects at random."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.database.engine import Database
from storage.experiments.cancel import cancel_experiment
from storage.files.blobs import BlobStore
from tests.faults.invariants import assert_invariants
from tests.faults.soak import SPECS, Soak, soak_settings
from tests.postgres import new_database
from tests.waiting import wait_until
from tests.workers.worker_harness import WorkerHarness

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("process_faults"),
]

LONG = SPECS[1]
SHORT = {**LONG, "epochs": 2}
ENDLESS = {**LONG, "epochs": 10_000}


@pytest.fixture
def soak(tmp_path: Path, sqlite_template: Path) -> Iterator[Soak]:
    """One supervised worker with its own broker, without random faults."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    made = Soak(soak_settings(home).model_copy(update={"max_attempts": 3}), seed=0, num_workers=1)
    made.broker.start()
    made._supervise()
    wait_until(lambda: "listening for cpu runs" in made.harness.log, 240)
    yield made
    made.close()


def submit(soak: Soak, spec: dict[str, Any], **more: Any) -> tuple[str, str]:
    experiment_id, run_id = soak.harness.submit(spec, (0, 1), wake=False, **more)
    soak.accepted.append(experiment_id)
    return experiment_id, run_id


def assert_settled(soak: Soak) -> None:
    """Check the invariants once all summaries are made."""
    wait_until(soak.is_quiet, 60)
    assert_invariants(soak.harness.db, soak.harness.blobs, soak.accepted)


def inject(soak: Soak, name: str, action: str) -> Path:
    """Let the next process that reaches the fault point perform the action."""
    path = soak.fault_folder / name
    path.write_text(action)
    return path


def test_a_run_whose_process_is_killed_repeatedly_fails_and_others_succeed(soak: Soak) -> None:
    _, poison = submit(soak, ENDLESS, priority=1)
    _, other = submit(soak, SHORT)
    while not soak.harness.run(poison).status.is_terminal:
        if soak.harness.run(poison).status == "running":
            inject(soak, "step", "kill")
        time.sleep(0.02)
    (soak.fault_folder / "step").unlink(missing_ok=True)
    assert soak.harness.run(poison).error_code == "worker_lost"
    soak.harness.wait(other, "succeeded", 120)


@pytest.mark.parametrize(
    ("action", "reason"), [("full", "storage_full"), ("memory", "out_of_memory")]
)
def test_a_full_disk_or_memory_fails_the_run_with_its_reason(
    soak: Soak, action: str, reason: str
) -> None:
    inject(soak, "put.1" if action == "full" else "step", action)
    _, run_id = submit(soak, SHORT)
    row = soak.harness.wait(run_id, "failed", 120)
    assert row.error_code == reason
    _, after = submit(soak, SHORT)
    soak.harness.wait(after, "succeeded", 120)
    assert_settled(soak)


def test_a_frozen_worker_that_continues_after_its_lease_changes_nothing(soak: Soak) -> None:
    _, reference = submit(soak, LONG)
    soak.harness.wait(reference, "succeeded", 180)
    experiment_id, run_id = submit(soak, LONG)
    soak.harness.wait_for_checkpoint(run_id)
    child = soak.harness.child_of(run_id)
    os.kill(child, signal.SIGSTOP)
    wait_until(lambda: "run.lease_lost" in soak.harness.events(experiment_id), 90)
    os.kill(child, signal.SIGCONT)
    soak.harness.wait(run_id, "succeeded", 180)
    assert soak.harness.metrics(run_id) == soak.harness.metrics(reference)
    assert soak.harness.thetas(run_id) == soak.harness.thetas(reference)
    assert_settled(soak)


def test_a_hanging_child_is_killed_after_a_cancel_request(soak: Soak) -> None:
    experiment_id, run_id = submit(soak, ENDLESS)
    soak.harness.wait_for_checkpoint(run_id)
    hanging = inject(soak, "step", "hang")
    wait_until(lambda: not hanging.exists(), 60)
    with soak.harness.db.write() as session:
        cancel_experiment(session, experiment_id)
    soak.harness.wait(run_id, "cancelled", 90)
    assert soak.harness.events(experiment_id).count("run.cancelled") == 1
    _, after = submit(soak, SHORT)
    soak.harness.wait(after, "succeeded", 120)


@pytest.mark.parametrize("seconds", [3.0, 15.0])
def test_a_locked_database_delays_a_run_and_changes_nothing(soak: Soak, seconds: float) -> None:
    _, reference = submit(soak, LONG)
    soak.harness.wait(reference, "succeeded", 180)
    _, run_id = submit(soak, LONG)
    soak.harness.wait_for_checkpoint(run_id)
    path = soak.harness.settings.resolved_database_url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    connection.execute("ROLLBACK")
    connection.close()
    soak.harness.wait(run_id, "succeeded", 180)
    assert soak.harness.metrics(run_id) == soak.harness.metrics(reference)
    assert_settled(soak)


@pytest.mark.parametrize("fault", ["emptied", "frozen", "killed", "killed without its file"])
def test_a_run_whose_wake_up_the_broker_loses_is_executed(soak: Soak, fault: str) -> None:
    broker = soak.broker.process
    if fault == "frozen":
        broker.send_signal(signal.SIGSTOP)
    _, run_id = submit(soak, SHORT)
    match fault:
        case "emptied":
            soak._empty_broker()
        case "frozen":
            time.sleep(3)
            broker.send_signal(signal.SIGCONT)
        case _:
            broker.kill()
            broker.wait()
            if fault != "killed":
                for path in (soak.harness.settings.home / "broker" / "appendonlydir").iterdir():
                    path.unlink()
            soak.broker.start()
    soak.harness.wait(run_id, "succeeded", 90)
    assert_settled(soak)


def test_a_second_host_finishes_the_run_of_a_host_that_is_cut_off(
    tmp_path: Path, postgres_server: str, broker_server: str
) -> None:
    """The hosts share only database, broker and files. Both processes of the first are frozen."""
    with new_database(postgres_server) as url:
        harnesses = []
        for name in ("one", "two"):
            home = tmp_path / name
            home.mkdir()
            (home / "worker.log").touch()
            settings = soak_settings(
                home,
                database_url=url,
                broker_url=f"redis+socket://{broker_server}",
                blob_dir=tmp_path / "files",
            )
            harnesses.append(WorkerHarness(settings, Database(url), BlobStore(tmp_path / "files")))
        one, two = harnesses
        frozen: list[int] = []
        try:
            host = start_host(one)
            _, reference = one.submit(LONG, (0, 1))
            one.wait(reference, "succeeded", 180)
            experiment_id, run_id = one.submit(LONG, (0, 1))
            one.wait_for_checkpoint(run_id)
            frozen = [one.child_of(run_id), host]
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            start_host(two)
            two.wait(run_id, "succeeded", 180)
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
            frozen = []
            assert two.metrics(run_id) == two.metrics(reference)
            assert two.thetas(run_id) == two.thetas(reference)
            # Gives the first host time to try to write, which must have no effect.
            time.sleep(2 * one.settings.lease_seconds)
            wait_until(lambda: two.experiment(experiment_id).summary, 30)
            assert_invariants(two.db, two.blobs, [experiment_id])
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
            for harness in harnesses:
                harness.close()


def start_host(harness: WorkerHarness) -> int:
    """Start a worker with all settings of the harness; returns its process id."""
    environment = {
        f"RICHREGIME_{name.upper()}": str(getattr(harness.settings, name))
        for name in harness.settings.model_fields_set
    }
    previous = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        return harness.start_worker().pid
    finally:
        for name, value in previous.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
