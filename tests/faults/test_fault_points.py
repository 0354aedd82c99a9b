"""A worker dies at every place of a run's life, one place after the other, and loses nothing."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from runtime import fault_points
from tests.faults.conftest import Bench, Death, Strike, die

SPEC = {
    "kind": "train",
    "epochs": 2,
    "batch_size": 64,
    "data": {"name": "synthetic", "train_size": 128, "test_size": 64},
    "model": {"name": "relu_net", "width": 5},
}
SEEDS = (0, 1)
IN_TRANSACTION = {"claim.1", "claim.2", "register.1", "finish.2"}
"""Nobody else moves anything there"""
OF_THE_API = {"accept.1", "wake.1", "wake.2", "delivery.1"}
"""No worker comes there"""

Listen = Callable[[Callable[[str], None] | None], None]


def places_of(bench: Bench, listen: Listen) -> list[str]:
    """Every place that an undisturbed run comes to, in order."""
    quiet = Strike(0, lambda: None)
    listen(quiet)
    bench.submit(SPEC, SEEDS)
    bench.work_until_idle()
    listen(None)
    return quiet.reached


def some_of(places: list[str]) -> list[tuple[int, str]]:
    """(number, place) of the first and the last time that a run comes to each place."""
    ends = {places.index(place) for place in places} | {
        len(places) - 1 - places[::-1].index(place) for place in places
    }
    return [(index + 1, places[index]) for index in sorted(ends)]


@pytest.mark.parametrize(
    "every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "every"]
)
def test_a_death_at_any_place_loses_nothing_and_changes_no_bit(
    bench: Bench, listen: Listen, every: bool
) -> None:
    reference = bench.reference(SPEC, SEEDS)
    places = places_of(bench, listen)
    assert set(places) >= set(fault_points.PLACES) - OF_THE_API
    chosen = list(enumerate(places, 1)) if every else some_of(places)
    for number, place in chosen:
        bench.submit(SPEC, SEEDS)
        strike = Strike(number, die)
        listen(strike)
        bench.work_until_idle()
        assert strike.struck, place
    listen(None)
    found = bench.assert_invariants(reference)
    assert found.compared == len(chosen) + 2


def test_a_run_that_dies_at_its_every_step_arrives_all_the_same(
    bench: Bench, listen: Listen
) -> None:
    """Each attempt comes one step further, so that it is no poison."""
    reference = bench.reference(SPEC, SEEDS)
    bench.submit(SPEC, SEEDS)
    attempts = 0
    while not bench.run(bench.runs(bench.accepted[-1])[0].id).status.is_terminal:
        listen(DieAfterSave())
        bench.work()
        attempts += 1
        assert attempts < 30
    listen(None)
    assert attempts > 3
    bench.assert_invariants(reference)


class DieAfterSave:
    def __call__(self, name: str) -> None:
        if name == "save.3":
            die()


def test_a_run_that_kills_its_workers_without_moving_is_given_up_while_others_flow(
    bench: Bench, listen: Listen
) -> None:
    _, poison = bench.submit(SPEC, SEEDS, priority=1)
    _, other = bench.submit(SPEC, SEEDS)

    def kill_poison(name: str) -> None:
        if name == "step" and bench.run(poison).status == "running":
            die()

    listen(kill_poison)
    bench.work_until_idle()
    row = bench.run(poison)
    assert (row.status, row.error_code, row.attempts) == (
        "failed",
        "worker_lost",
        bench.settings.max_attempts,
    )
    assert bench.run(other).status == "succeeded"
    bench.assert_invariants()


def test_a_save_that_says_nothing_new_does_not_make_a_poison_look_alive(
    bench: Bench, listen: Listen
) -> None:
    """It comes as far as its second step every time and dies there; what it has resumed from is not saved again."""
    _, run_id = bench.submit(SPEC, SEEDS)

    first = Strike(0, lambda: None)
    listen(lambda name: die() if first(name) or first.reached.count("step") == 3 else None)
    bench.work()
    while bench.run(run_id).status == "queued":
        later = Strike(0, lambda: None)
        listen(
            lambda name, later=later: (
                die() if later(name) or later.reached.count("step") == 2 else None
            )
        )
        bench.work()
        assert bench.run(run_id).attempts < 10
    assert bench.run(run_id).error_code == "worker_lost"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "storage_full"),
        (MemoryError(), "out_of_memory"),
        (ZeroDivisionError("a defect"), "internal"),
    ],
)
@pytest.mark.parametrize("place", ["put.1", "step"])
def test_an_error_fails_the_run_with_its_reason_and_the_next_run_is_unharmed(
    bench: Bench, listen: Listen, place: str, error: Exception, reason: str
) -> None:
    _, run_id = bench.submit(SPEC, SEEDS)

    def strike(name: str) -> None:
        if name == place:
            raise error

    listen(strike)
    bench.work()
    listen(None)
    row = bench.run(run_id)
    assert (row.status, row.error_code) == ("failed", reason)
    _, after = bench.submit(SPEC, SEEDS)
    bench.work_until_idle()
    assert bench.run(after).status == "succeeded"
    bench.assert_invariants()


def test_a_drain_at_any_step_gives_the_run_back_with_equal_bits(
    bench: Bench, listen: Listen
) -> None:
    reference = bench.reference(SPEC, SEEDS)
    steps = places_of(bench, listen).count("step")
    for number in range(1, steps + 1):
        _, run_id = bench.submit(SPEC, SEEDS)
        seen: list[str] = []
        listen(lambda name, seen=seen: seen.append(name) if name == "step" else None)
        bench.execute(bench.claimed(), lambda seen=seen, number=number: len(seen) >= number)
        row = bench.run(run_id)
        assert (row.status, row.attempts, row.interruptions) == ("queued", 0, 1)
        bench.work_until_idle()
    listen(None)
    bench.assert_invariants(reference)


@pytest.mark.parametrize(
    "ended_by", ["a cancel while it waits", "a cancel as it goes back", "the reaper"]
)
def test_a_run_that_no_worker_ends_leaves_no_resume_state(
    bench: Bench, listen: Listen, ended_by: str
) -> None:
    """It has saved, and is then cancelled where no worker has it, or for good taken from one that is dead."""
    experiment_id, run_id = bench.submit(SPEC, SEEDS)
    claim = bench.claimed()
    if ended_by == "a cancel while it waits":
        bench.execute(claim, lambda: bool(bench.resume_states(run_id)))
        assert bench.resume_states(run_id)
        bench.cancel(experiment_id)
    elif ended_by == "a cancel as it goes back":

        def ask_and_yield() -> bool:
            if bench.resume_states(run_id):
                bench.cancel(experiment_id)
                return True
            return False

        bench.execute(claim, ask_and_yield)
    else:
        listen(DieAfterSave())
        with pytest.raises(Death):
            bench.execute(claim)
        listen(None)
        bench.cancel(experiment_id)
        assert bench.resume_states(run_id)
        bench.reap()
    assert bench.run(run_id).status == "cancelled"
    assert bench.resume_states(run_id) == []
    bench.work_until_idle()
    bench.assert_invariants()


def test_a_cancel_request_at_any_place_ends_the_run_once(bench: Bench, listen: Listen) -> None:
    places = places_of(bench, listen)
    for number, place in some_of(places):
        if place in IN_TRANSACTION:
            continue
        experiment_id, run_id = bench.submit(SPEC, SEEDS)
        # A run whose files another has stored already comes to fewer places than the undisturbed one.
        listen(Strike(number, partial(bench.cancel, experiment_id), IN_TRANSACTION))
        bench.work_until_idle()
        assert bench.run(run_id).status in ("succeeded", "cancelled")
    listen(None)
    bench.assert_invariants()


def test_the_folder_of_orders_strikes_once(tmp_path: Path) -> None:
    strike = fault_points.listener_for_folder(tmp_path)
    (tmp_path / "step").write_text("memory")
    strike("claim.1")
    with pytest.raises(MemoryError):
        strike("step")
    strike("step")


def test_every_place_in_the_code_is_in_the_list() -> None:
    root = Path(__file__).parents[2]
    named: set[str] = set()
    for package in ("storage", "workers", "api"):
        for file in (root / package).rglob("*.py"):
            named.update(re.findall(r'reach\("([a-z.0-9]+)"\)', file.read_text()))
    assert named == set(fault_points.PLACES)


def test_nobody_listens_unless_told() -> None:
    assert fault_points.listener is None
