"""Children whose start fails: logged, replaced after a delay, and not counted as listening."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.experiments.resources import to_resource
from storage.monitoring.snapshot import take_snapshot
from storage.runs.resources import queue_state
from storage.runs.workers import count_idle, list_workers
from tests.waiting import wait_until
from tests.workers.worker_harness import WorkerHarness
from workers.child_slots import FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS, ChildSlots, delay_after

pytestmark = pytest.mark.xdist_group("failed_start")

SHORT = {
    "kind": "train",
    "epochs": 1,
    "data": {"name": "synthetic", "train_size": 100, "test_size": 50},
}
FAILING_IMPORT = """
import pathlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name == "sympy" and pathlib.Path(__file__).with_name("broken").exists():
            raise ImportError("sympy is being replaced")

sys.meta_path.insert(0, Refuse())
"""
"""A library that torch needs cannot be imported while the file `broken` exists."""


class BreakableWorker:
    """A worker process whose children start or fail to start."""

    def __init__(self, harness: WorkerHarness, folder: Path) -> None:
        self.harness, self._flag = harness, folder / "broken"
        (folder / "sitecustomize.py").write_text(FAILING_IMPORT)
        self.process = harness.start_worker(PYTHONPATH=str(folder))

    def break_starts(self) -> None:
        self._flag.touch()

    def repair(self) -> None:
        self._flag.unlink()

    def kill_children(self) -> None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for child in children.split():
            os.kill(int(child), signal.SIGKILL)

    def is_listening(self) -> bool:
        with self.harness.db.read() as session:
            states = {
                bool(sum(count_idle(session).values())),
                bool(take_snapshot(session).slots["cpu"]),
                bool(take_snapshot(session).workers["cpu"]),
                bool(queue_state(session).workers_listening),
                any(worker.listening for worker in list_workers(session)),
            }
        assert len(states) == 1, "every place counts the same"
        return states.pop()

    def starts(self) -> int:
        return self.harness.log.count("the start of a child failed")


@pytest.fixture(scope="module")
def breakable(
    make_harness: Callable[..., WorkerHarness], tmp_path_factory: pytest.TempPathFactory
) -> BreakableWorker:
    return BreakableWorker(make_harness(), tmp_path_factory.mktemp("site"))


def test_a_worker_whose_child_fails_to_start_does_not_listen_and_recovers(
    breakable: BreakableWorker,
) -> None:
    harness = breakable.harness
    assert breakable.is_listening()
    breakable.break_starts()
    breakable.kill_children()
    wait_until(lambda: breakable.starts() >= 2)
    assert not breakable.is_listening()
    experiment_id, run_id = harness.submit(SHORT)
    with harness.db.read() as session:
        experiment = to_resource(session, harness.experiment(experiment_id))
        reasons = {experiment.queue.reason, queue_state(session).reason}
    assert reasons == {
        "1 run waits: no worker is listening; 1 worker has no ready slot: child processes are "
        "starting, or their start fails and the worker's log says why"
    }
    breakable.repair()
    wait_until(breakable.is_listening)
    harness.wait(run_id, "succeeded")
    with harness.db.read() as session:
        assert queue_state(session).reason is None


def test_failed_starts_are_logged_with_one_traceback_and_a_growing_delay(
    breakable: BreakableWorker,
) -> None:
    """Runs after the test above, on its log."""
    log = breakable.harness.log
    tracebacks = re.findall(r"^\s*ImportError: sympy is being replaced", log, re.MULTILINE)
    assert len(tracebacks) == 1
    delays = [float(seconds) for seconds in re.findall(r"next start in ([0-9.]+) s", log)]
    assert delays[:2] == [FIRST_DELAY_SECONDS, 2 * FIRST_DELAY_SECONDS]


def test_the_delay_after_failed_starts_grows_to_a_limit() -> None:
    assert delay_after(0) == 0
    assert [delay_after(failed) for failed in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert delay_after(10_000) == MAX_DELAY_SECONDS


def test_a_slot_counts_as_ready_while_its_ready_child_runs() -> None:
    slots = ChildSlots(2)
    assert slots.note_start(0) == 0
    assert slots.count_ready() == 0
    assert slots.note_start(0) == 1, "the first start did not report back"
    child = os.fork()
    if child == 0:
        slots.note_ready(0)
        signal.pause()
    wait_until(lambda: slots.count_ready() == 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert slots.count_ready() == 0
    assert slots.note_start(0) == 0, "a child that was ready is replaced at once"
