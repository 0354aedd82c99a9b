"""A worker that dies at any fault point of a run loses nothing and changes no bit."""

from __future__ import annotations

import errno
import re
from functools import partial
from pathlib import Path

import pytest

from runtime import fault_points
from tests.faults.fault_injection import (
    FaultInjector,
    KillAt,
    SetListener,
    WorkerKilled,
    kill_worker,
)
from tests.faults.in_process_worker import SEEDS, SPEC, InProcessWorker

IN_TRANSACTION = {"claim.1", "claim.2", "register.1", "finish.2"}
"""Fault points inside a transaction, where no other process can write"""


API_ONLY = {"accept.1", "wake.1", "wake.2", "delivery.1"}
"""Fault points that no worker reaches"""
LOOKS = {"look.1", "look.2", "look.3"}
"""Fault points of experiments that add seeds until their verdicts are decided"""


def list_fault_points(worker: InProcessWorker, set_listener: SetListener) -> list[str]:
    """Every fault point that an undisturbed run reaches, in order."""
    recorder = FaultInjector(0, lambda: None)
    set_listener(recorder)
    worker.submit(SPEC, SEEDS)
    worker.work_until_idle()
    set_listener(None)
    return recorder.reached


def first_and_last(reached: list[str]) -> list[tuple[int, str]]:
    """(number, name) of the first and the last time that a run reaches each fault point."""
    ends = {reached.index(place) for place in reached} | {
        len(reached) - 1 - reached[::-1].index(place) for place in reached
    }
    return [(index + 1, reached[index]) for index in sorted(ends)]


@pytest.mark.parametrize(
    "every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "every"]
)
def test_a_death_at_any_fault_point_loses_nothing_and_changes_no_bit(
    worker: InProcessWorker, set_listener: SetListener, every: bool
) -> None:
    reference = worker.reference(SPEC, SEEDS)
    reached = list_fault_points(worker, set_listener)
    assert set(reached) >= set(fault_points.PLACES) - API_ONLY - LOOKS
    chosen = list(enumerate(reached, 1)) if every else first_and_last(reached)
    for number, place in chosen:
        worker.submit(SPEC, SEEDS)
        injector = FaultInjector(number, kill_worker)
        set_listener(injector)
        worker.work_until_idle()
        assert injector.injected, place
    set_listener(None)
    found = worker.assert_invariants(reference)
    assert found.compared == len(chosen) + 2


def test_a_run_whose_worker_dies_at_every_step_succeeds(
    worker: InProcessWorker, set_listener: SetListener
) -> None:
    """Each attempt makes one step of progress, so the run is not given up."""
    reference = worker.reference(SPEC, SEEDS)
    worker.submit(SPEC, SEEDS)
    attempts = 0
    while not worker.run(worker.runs(worker.accepted[-1])[0].id).status.is_terminal:
        set_listener(KillAt("save.3"))
        worker.work()
        attempts += 1
        assert attempts < 30
    set_listener(None)
    assert attempts > 3
    worker.assert_invariants(reference)


def test_a_run_that_kills_its_workers_without_progress_fails_and_others_succeed(
    worker: InProcessWorker, set_listener: SetListener
) -> None:
    _, poison = worker.submit(SPEC, SEEDS, priority=1)
    _, other = worker.submit(SPEC, SEEDS)

    def kill_poison(name: str) -> None:
        if name == "step" and worker.run(poison).status == "running":
            kill_worker()

    set_listener(kill_poison)
    worker.work_until_idle()
    row = worker.run(poison)
    assert (row.status, row.error_code, row.attempts) == (
        "failed",
        "worker_lost",
        worker.settings.max_attempts,
    )
    assert worker.run(other).status == "succeeded"
    worker.assert_invariants()


def test_a_save_without_progress_does_not_reset_the_count_of_lost_workers(
    worker: InProcessWorker, set_listener: SetListener
) -> None:
    """The run dies at its second step each time; the state it resumed from is not saved again."""
    _, run_id = worker.submit(SPEC, SEEDS)

    set_listener(KillAt("step", 3))
    worker.work()
    while worker.run(run_id).status == "queued":
        set_listener(KillAt("step", 2))
        worker.work()
        assert worker.run(run_id).attempts < 10
    assert worker.run(run_id).error_code == "worker_lost"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "storage_full"),
        (MemoryError(), "out_of_memory"),
        (ZeroDivisionError("a defect"), "internal"),
    ],
)
@pytest.mark.parametrize("place", ["put.1", "step"])
def test_an_error_fails_the_run_with_its_reason_and_not_the_next_run(
    worker: InProcessWorker, set_listener: SetListener, place: str, error: Exception, reason: str
) -> None:
    _, run_id = worker.submit(SPEC, SEEDS)

    def raise_error(name: str) -> None:
        if name == place:
            raise error

    set_listener(raise_error)
    worker.work()
    set_listener(None)
    row = worker.run(run_id)
    assert (row.status, row.error_code) == ("failed", reason)
    _, after = worker.submit(SPEC, SEEDS)
    worker.work_until_idle()
    assert worker.run(after).status == "succeeded"
    worker.assert_invariants()


def test_a_drain_at_any_step_releases_the_run_and_changes_no_bit(
    worker: InProcessWorker, set_listener: SetListener
) -> None:
    reference = worker.reference(SPEC, SEEDS)
    steps = list_fault_points(worker, set_listener).count("step")
    for number in range(1, steps + 1):
        _, run_id = worker.submit(SPEC, SEEDS)
        recorder = FaultInjector(0, lambda: None)
        set_listener(recorder)
        worker.execute(worker.require_claim(), partial(has_made_steps, recorder, number))
        row = worker.run(run_id)
        assert (row.status, row.attempts, row.interruptions) == ("queued", 0, 1)
        worker.work_until_idle()
    set_listener(None)
    worker.assert_invariants(reference)


def has_made_steps(recorder: FaultInjector, number: int) -> bool:
    return recorder.reached.count("step") >= number


@pytest.mark.parametrize(
    "ended_by", ["cancel while queued", "cancel during release", "expired lease"]
)
def test_a_run_that_ends_without_a_worker_leaves_no_resume_state(
    worker: InProcessWorker, set_listener: SetListener, ended_by: str
) -> None:
    """The run has saved. It is then cancelled while no worker has it, or its worker has died."""
    experiment_id, run_id = worker.submit(SPEC, SEEDS)
    claim = worker.require_claim()
    if ended_by == "cancel while queued":
        worker.execute(claim, lambda: bool(worker.resume_states(run_id)))
        assert worker.resume_states(run_id)
        worker.cancel(experiment_id)
    elif ended_by == "cancel during release":

        def cancel_and_yield() -> bool:
            if worker.resume_states(run_id):
                worker.cancel(experiment_id)
                return True
            return False

        worker.execute(claim, cancel_and_yield)
    else:
        set_listener(KillAt("save.3"))
        with pytest.raises(WorkerKilled):
            worker.execute(claim)
        set_listener(None)
        worker.cancel(experiment_id)
        assert worker.resume_states(run_id)
        worker.expire_own_runs()
    assert worker.run(run_id).status == "cancelled"
    assert worker.resume_states(run_id) == []
    worker.work_until_idle()
    worker.assert_invariants()


def test_a_cancel_request_at_any_fault_point_ends_the_run_once(
    worker: InProcessWorker, set_listener: SetListener
) -> None:
    reached = list_fault_points(worker, set_listener)
    for number, place in first_and_last(reached):
        if place in IN_TRANSACTION:
            continue
        experiment_id, run_id = worker.submit(SPEC, SEEDS)
        # A run whose files are already stored reaches fewer fault points.
        set_listener(FaultInjector(number, partial(worker.cancel, experiment_id), IN_TRANSACTION))
        worker.work_until_idle()
        assert worker.run(run_id).status in ("succeeded", "cancelled")
    set_listener(None)
    worker.assert_invariants()


def test_a_file_in_the_folder_of_fault_points_acts_once(tmp_path: Path) -> None:
    listener = fault_points.listener_for_folder(tmp_path)
    (tmp_path / "step").write_text("memory")
    listener("claim.1")
    with pytest.raises(MemoryError):
        listener("step")
    listener("step")


def test_all_fault_points_in_the_code_are_listed() -> None:
    root = Path(__file__).parents[2]
    named: set[str] = set()
    for package in ("storage", "workers", "api"):
        for file in (root / package).rglob("*.py"):
            named.update(re.findall(r'reach\("([a-z.0-9]+)"\)', file.read_text()))
    assert named == set(fault_points.PLACES)


def test_fault_points_have_no_listener_by_default() -> None:
    assert fault_points.listener is None
