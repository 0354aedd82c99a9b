"""When an experiment starts and ends: computed by hand from estimates and measured times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from schemas.resources import Experiment, SecondsRange
from storage.database.tables import RunRow
from storage.experiments.find import get_experiment
from storage.experiments.queue import read_queue
from storage.experiments.resources import to_resource
from storage.runs.work_left import first_free, measured_range
from storage.runs.workers import register_worker
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")

THREE = {"epochs": [1, 2, 4]}


def change(store: Store, run_id: str, **values: Any) -> None:
    with store.db.write() as session:
        row = session.get_one(RunRow, run_id)
        for name, value in values.items():
            setattr(row, name, value)


def estimate(store: Store, seconds: Mapping[str, float]) -> None:
    for run_id, one in seconds.items():
        change(store, run_id, estimated_seconds=one)


def shown(store: Store, experiment_id: str) -> Experiment:
    with store.db.read() as session:
        return to_resource(session, get_experiment(session, experiment_id))


def add_worker(store: Store, slots: int) -> None:
    with store.db.write() as session:
        register_worker(
            session,
            host="host",
            pid=1,
            device="cpu",
            device_class="cpu",
            slots=slots,
            memory_bytes=0,
            versions={},
        )


def finish_after(store: Store, seconds: float) -> str:
    """Claim a run and finish it, as if it had computed for so many seconds."""
    claimed = store.claim()
    assert store.finish(claimed.run_id, claimed.fence)
    change(store, claimed.run_id, elapsed_seconds=seconds)
    return claimed.run_id


def test_the_time_left_learns_from_the_runs_of_the_experiment(store: Store) -> None:
    experiment_id, runs = store.submit(sweep=THREE)
    estimate(store, dict(zip(runs, (10.0, 20.0, 40.0), strict=True)))
    first = store.claim()
    assert shown(store, experiment_id).progress.eta_seconds == 70.0, "the estimate as it is"
    change(store, first.run_id, elapsed_seconds=5.0)
    assert store.finish(first.run_id, first.fence)
    second = store.claim()
    assert shown(store, experiment_id).progress.eta_seconds == 30.0, "half of 20 + 40"
    half_done = {"progress_completed": 3.0, "progress_total": 6.0, "elapsed_seconds": 6.0}
    change(store, second.run_id, **half_done)
    # 5 + 6 seconds were measured for 10 + 10 by estimate: 0.55 of the estimated 10 + 40 are left.
    assert shown(store, experiment_id).progress.eta_seconds == pytest.approx(27.5, rel=1e-12)
    third = store.claim()
    assert shown(store, experiment_id).progress.eta_seconds == pytest.approx(0.55 * 40, rel=1e-12)
    estimate(store, {third.run_id: 0.0})  # unknown: as before, from the mean fraction
    assert shown(store, experiment_id).progress.eta_seconds != pytest.approx(22.0, rel=1e-12)


def test_the_start_is_a_range_by_the_runs_ahead_and_what_finished_runs_took(store: Store) -> None:
    add_worker(store, slots=1)
    for elapsed in (1.0, 2.0, 3.0, 4.0):  # quartiles 1.25 and 3.75 times the estimate
        _, (run_id,) = store.submit()
        estimate(store, {run_id: 1.0})
        assert finish_after(store, elapsed) == run_id
    _, (running,) = store.submit()
    store.claim()
    change(store, running, progress_completed=1.0, progress_total=2.0, elapsed_seconds=4.0)
    ahead, (run_ahead,) = store.submit(name="ahead")
    estimate(store, {run_ahead: 20.0})
    mine, (own,) = store.submit()
    estimate(store, {own: 1.0})
    assert shown(store, ahead).queue.starts_in_seconds == SecondsRange(low=4.0, high=4.0)
    expected = SecondsRange(low=4 + 1.25 * 20, high=4 + 3.75 * 20)
    assert shown(store, mine).queue.starts_in_seconds == expected
    with store.db.read() as session:
        waiting = read_queue(session).waiting
    assert [(one.id, one.title, one.queued) for one in waiting] == [
        (ahead, "ahead", 1),
        (mine, "train", 1),
    ]
    assert [one.starts_in_seconds for one in waiting] == [
        SecondsRange(low=4.0, high=4.0),
        expected,
    ]
    add_worker(store, slots=2)  # two slots do 8 seconds of work until the third is free after 4
    expected = SecondsRange(low=4 + (25 - 8) / 3, high=4 + (75 - 8) / 3)
    assert shown(store, mine).queue.starts_in_seconds == expected


def test_a_start_that_nothing_tells_is_unknown(store: Store) -> None:
    _, (run_ahead,) = store.submit()
    mine, (own,) = store.submit()
    estimate(store, {run_ahead: 9.0, own: 1.0})
    assert shown(store, mine).queue.starts_in_seconds is None, "no worker listens"
    add_worker(store, slots=1)
    assert shown(store, mine).queue.starts_in_seconds == SecondsRange(low=3.0, high=27.0)
    estimate(store, {run_ahead: 0.0})
    assert shown(store, mine).queue.starts_in_seconds is None, "a run ahead has no estimate"
    claimed = store.claim()
    assert shown(store, mine).queue.starts_in_seconds is None, "nor has the running one"
    assert store.finish(claimed.run_id, claimed.fence)
    store.claim()
    assert shown(store, mine).queue.starts_in_seconds is None, "it has started"


@pytest.mark.parametrize(
    ("free_after", "ahead", "expected"),
    [
        ([0.0], 0.0, 0.0),
        ([0.0], 7.0, 7.0),
        ([10.0, 4.0], 0.0, 4.0),
        ([10.0, 4.0], 6.0, 10.0),
        ([10.0, 4.0], 10.0, 12.0),
        ([0.0, 0.0, 9.0], 10.0, 5.0),
    ],
)
def test_work_ahead_fills_the_slots_evenly(
    free_after: list[float], ahead: float, expected: float
) -> None:
    assert first_free(free_after, ahead) == expected


def test_few_measured_runs_tell_no_spread() -> None:
    assert measured_range([]) == (1 / 3, 3.0)
    assert measured_range([2.0, 2.0, 8.0]) == (2 / 3, 6.0)
    assert measured_range([1.0, 2.0, 3.0, 4.0]) == (1.25, 3.75)
