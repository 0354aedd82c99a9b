"""Faults of real processes that the soak leaves to chance, each on its own."""

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
from tests.faults.soaking import SPECS, Soak, soak_settings
from tests.postgres import new_database
from tests.waiting import wait_until
from tests.workers.conftest import Lab

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
    """One worker and a broker of its own, watched; nothing strikes by itself."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    made = Soak(soak_settings(home).model_copy(update={"max_attempts": 3}), seed=0, num_workers=1)
    made.broker.start()
    made._mind()
    wait_until(lambda: "listening for cpu runs" in made.lab.log, 240)
    yield made
    made.close()


def submit(soak: Soak, spec: dict[str, Any], **more: Any) -> tuple[str, str]:
    experiment_id, run_id = soak.lab.submit(spec, (0, 1), wake=False, **more)
    soak.accepted.append(experiment_id)
    return experiment_id, run_id


def assert_all_is_well(soak: Soak) -> None:
    """Once the summaries, which follow the ends of the runs, are made too."""
    wait_until(soak.is_quiet, 60)
    assert_invariants(soak.lab.db, soak.lab.blobs, soak.accepted)


def order(soak: Soak, place: str, action: str) -> Path:
    path = soak.orders / place
    path.write_text(action)
    return path


def test_a_run_that_the_kernel_kills_again_and_again_fails_while_others_flow(soak: Soak) -> None:
    _, poison = submit(soak, ENDLESS, priority=1)
    _, other = submit(soak, SHORT)
    while not soak.lab.run(poison).status.is_terminal:
        if soak.lab.run(poison).status == "running":
            order(soak, "step", "kill")
        time.sleep(0.02)
    (soak.orders / "step").unlink(missing_ok=True)
    assert soak.lab.run(poison).error_code == "worker_lost"
    soak.lab.wait(other, "succeeded", 120)


@pytest.mark.parametrize(
    ("action", "reason"), [("full", "storage_full"), ("memory", "out_of_memory")]
)
def test_a_full_disk_and_a_full_memory_fail_the_run_with_their_reason(
    soak: Soak, action: str, reason: str
) -> None:
    order(soak, "put.1" if action == "full" else "step", action)
    _, run_id = submit(soak, SHORT)
    row = soak.lab.wait(run_id, "failed", 120)
    assert row.error_code == reason
    _, after = submit(soak, SHORT)
    soak.lab.wait(after, "succeeded", 120)
    assert_all_is_well(soak)


def test_a_zombie_that_wakes_after_its_lease_changes_nothing(soak: Soak) -> None:
    _, whole = submit(soak, LONG)
    soak.lab.wait(whole, "succeeded", 180)
    experiment_id, run_id = submit(soak, LONG)
    soak.lab.wait_for_checkpoint(run_id)
    child = soak.lab.child_of(run_id)
    os.kill(child, signal.SIGSTOP)
    wait_until(lambda: "run.lease_lost" in soak.lab.events(experiment_id), 90)
    os.kill(child, signal.SIGCONT)
    soak.lab.wait(run_id, "succeeded", 180)
    assert soak.lab.metrics(run_id) == soak.lab.metrics(whole)
    assert soak.lab.thetas(run_id) == soak.lab.thetas(whole)
    assert_all_is_well(soak)


def test_a_child_that_hangs_is_killed_for_a_cancel_request(soak: Soak) -> None:
    experiment_id, run_id = submit(soak, ENDLESS)
    soak.lab.wait_for_checkpoint(run_id)
    hanging = order(soak, "step", "hang")
    wait_until(lambda: not hanging.exists(), 60)
    with soak.lab.db.write() as session:
        cancel_experiment(session, experiment_id)
    soak.lab.wait(run_id, "cancelled", 90)
    assert soak.lab.events(experiment_id).count("run.cancelled") == 1
    _, after = submit(soak, SHORT)
    soak.lab.wait(after, "succeeded", 120)


@pytest.mark.parametrize("seconds", [3.0, 15.0])
def test_a_locked_database_delays_a_run_and_changes_nothing(soak: Soak, seconds: float) -> None:
    _, whole = submit(soak, LONG)
    soak.lab.wait(whole, "succeeded", 180)
    _, run_id = submit(soak, LONG)
    soak.lab.wait_for_checkpoint(run_id)
    path = soak.lab.settings.resolved_database_url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    connection.execute("ROLLBACK")
    connection.close()
    soak.lab.wait(run_id, "succeeded", 180)
    assert soak.lab.metrics(run_id) == soak.lab.metrics(whole)
    assert_all_is_well(soak)


@pytest.mark.parametrize("trouble", ["emptied", "frozen", "killed", "killed without its file"])
def test_a_run_whose_bell_the_broker_loses_is_executed(soak: Soak, trouble: str) -> None:
    broker = soak.broker.process
    if trouble == "frozen":
        broker.send_signal(signal.SIGSTOP)
    _, run_id = submit(soak, SHORT)
    match trouble:
        case "emptied":
            soak._empty_broker()
        case "frozen":
            time.sleep(3)
            broker.send_signal(signal.SIGCONT)
        case _:
            broker.kill()
            broker.wait()
            if trouble != "killed":
                for path in (soak.lab.settings.home / "broker" / "appendonlydir").iterdir():
                    path.unlink()
            soak.broker.start()
    soak.lab.wait(run_id, "succeeded", 90)
    assert_all_is_well(soak)


def test_two_hosts_share_database_broker_and_files_alone_and_one_is_cut_off(
    tmp_path: Path, postgres_server: str, broker_server: str
) -> None:
    """Each has a home of its own. The one that has the run is frozen, children and all; the other finishes it."""
    with new_database(postgres_server) as url:
        labs = []
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
            labs.append(Lab(settings, Database(url), BlobStore(tmp_path / "files")))
        one, two = labs
        frozen: list[int] = []
        try:
            host = start_host(one)
            _, whole = one.submit(LONG, (0, 1))
            one.wait(whole, "succeeded", 180)
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
            assert two.metrics(run_id) == two.metrics(whole)
            assert two.thetas(run_id) == two.thetas(whole)
            time.sleep(
                2 * one.settings.lease_seconds
            )  # what the one that was cut off still tries comes to nothing
            wait_until(lambda: two.experiment(experiment_id).summary, 30)
            assert_invariants(two.db, two.blobs, [experiment_id])
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
            for lab in labs:
                lab.close()


def start_host(lab: Lab) -> int:
    """A worker with all settings of the laboratory; its process id."""
    environment = {
        f"RICHREGIME_{name.upper()}": str(getattr(lab.settings, name))
        for name in lab.settings.model_fields_set
    }
    previous = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        return lab.start_worker().pid
    finally:
        for name, value in previous.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
