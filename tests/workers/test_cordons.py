"""Cordons with real worker processes: a run is finished or handed back, and nothing is taken."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable

import pytest

from storage.experiments.cancel import cancel_experiment
from storage.runs.cordons import remove_cordon, set_cordon
from storage.runs.workers import list_workers
from tests.waiting import wait_until
from tests.workers.worker_harness import WorkerHarness

pytestmark = pytest.mark.xdist_group("worker_process")

SHORT = {"kind": "train", "epochs": 2, "model": {"name": "relu_net", "width": 5}}
LONG = {"kind": "train", "epochs": 150, "model": {"name": "relu_net", "width": 20}}
ENDLESS = {"kind": "train", "epochs": 10_000, "model": {"name": "relu_net", "width": 20}}
HOST = socket.gethostname()


def cordon(harness: WorkerHarness, name: str, *, hand_back: bool = False) -> None:
    with harness.db.write() as session:
        set_cordon(session, name, hand_back=hand_back)


def uncordon(harness: WorkerHarness, name: str) -> None:
    with harness.db.write() as session:
        assert remove_cordon(session, name)


def test_a_cordoned_worker_finishes_its_run_hands_it_back_and_takes_no_more(
    make_harness: Callable[..., WorkerHarness],
) -> None:
    harness = make_harness()
    process = harness.start_worker()
    with harness.db.read() as session:
        (worker,) = list_workers(session)

    _, finishing = harness.submit(LONG)
    harness.wait_for_checkpoint(finishing)
    cordon(harness, worker.id)
    _, waiting = harness.submit(SHORT)
    assert harness.wait(finishing, "succeeded").interruptions == 0
    time.sleep(3 * harness.settings.wake_after_seconds)
    assert harness.run(waiting).status == "queued", harness.log
    uncordon(harness, worker.id)
    harness.wait(waiting, "succeeded")

    experiment_id, endless = harness.submit(ENDLESS)
    harness.wait_for_checkpoint(endless)
    cordon(harness, HOST, hand_back=True)
    row = harness.wait(endless, "queued", 30)
    assert (row.attempts, row.interruptions) == (0, 1), "the attempt does not count"
    assert "run.interrupted" in harness.events(experiment_id)

    process.send_signal(signal.SIGTERM)
    process.wait(timeout=40)
    (harness.settings.home / "worker.log").write_text("")
    harness.start_worker()
    time.sleep(3 * harness.settings.wake_after_seconds)
    assert harness.run(endless).status == "queued", "the cordon of a host outlives its workers"
    uncordon(harness, HOST)
    wait_until(lambda: "run.resumed" in harness.events(experiment_id), 60)
    with harness.db.write() as session:
        cancel_experiment(session, experiment_id)
    harness.wait(endless, "cancelled")
