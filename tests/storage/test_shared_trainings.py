"""Runs of one experiment that train the same net: one trains, the others wait for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import text

from storage.experiments.cancel import cancel_experiment
from storage.runs.claim import Claim
from storage.runs.transitions import list_runs_to_wake, mark_woken, release_run
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")
ROUNDS = 60
WIDTHS = [1, 2, 3]


def submit_sharing(store: Store, training: str = "a" * 64) -> tuple[str, list[str]]:
    """An experiment of three runs with one training; (experiment id, run ids)."""
    experiment_id, run_ids = store.submit(sweep={"model.width": WIDTHS})
    with store.db.write() as session:
        session.execute(
            text("UPDATE run SET training = :training WHERE experiment_id = :id"),
            {"training": training, "id": experiment_id},
        )
    return experiment_id, run_ids


def test_the_others_wait_until_the_run_that_trains_has_ended(store: Store) -> None:
    _, run_ids = submit_sharing(store)
    first = store.claim()
    assert first.run_id == run_ids[0]
    assert store.try_claim() is None
    store.finish(first.run_id, first.fence)
    assert [store.claim().run_id for _ in range(2)] == run_ids[1:]


def test_runs_of_other_experiments_and_trainings_do_not_wait(store: Store) -> None:
    submit_sharing(store)
    submit_sharing(store)
    other = store.submit()[1]
    claimed = [store.claim() for _ in range(3)]
    assert len({one.experiment_id for one in claimed}) == 3
    assert claimed[-1].run_id == other[0]
    assert store.try_claim() is None


@pytest.mark.parametrize("end", ["fail", "cancel", "release"])
def test_nobody_waits_for_a_run_that_did_not_train(store: Store, end: str) -> None:
    experiment_id, run_ids = submit_sharing(store)
    first = store.claim()
    if end == "fail":
        store.fail(first.run_id, first.fence)
    elif end == "release":
        with store.db.write() as session:
            release_run(session, first.run_id, first.fence)
    else:
        with store.db.write() as session:
            cancel_experiment(session, experiment_id)
        assert store.try_claim() is None
        return
    assert store.claim().run_id == (run_ids[0] if end == "release" else run_ids[1])


def test_waiting_runs_are_woken_when_the_training_ends(store: Store) -> None:
    _, run_ids = submit_sharing(store)
    first = store.claim()
    with store.db.write() as session:
        session.execute(text("UPDATE run SET created_at = '2020-01-01 00:00:00'"))
    mark_woken(store.db, run_ids)
    assert list_runs_to_wake(store.db, 60.0) == {}
    store.finish(first.run_id, first.fence)
    assert set(list_runs_to_wake(store.db, 60.0)) == set(run_ids[1:])


def test_claims_at_once_take_one_run_of_a_training(store: Store) -> None:
    """On Postgres the others would each not see that the first has started."""
    threads = 3
    for _ in range(ROUNDS):
        experiment_id, run_ids = submit_sharing(store)
        barrier = Barrier(threads)

        def claim(number: int, barrier: Barrier = barrier) -> Claim | None:
            barrier.wait()
            return store.try_claim(worker=f"host:{number}:1")

        with ThreadPoolExecutor(threads) as pool:
            claimed = [one for one in pool.map(claim, range(threads)) if one is not None]
        assert len(claimed) == 1
        with store.db.write() as session:
            cancel_experiment(session, experiment_id)
        store.finish(claimed[0].run_id, claimed[0].fence)
        assert claimed[0].run_id in run_ids
