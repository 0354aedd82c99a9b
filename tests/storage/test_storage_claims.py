"""Which run is claimed, and by whom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from schemas.resources import ExperimentUpdate
from storage.database.engine import Database
from storage.experiments.cancel import cancel_experiment
from storage.experiments.update import update_experiment
from storage.runs.claim import claim_next
from storage.runs.placement import Needs
from storage.runs.transitions import list_runs_to_wake, mark_woken
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")

ROUNDS = 200


def claims_in_order(store: Store, device_class: str = "cpu") -> list[str]:
    claimed = []
    while (
        found := claim_next(
            store.db,
            worker="a:1:1",
            device_class=device_class,
            device=device_class,
            lease_seconds=60,
        )
    ) is not None:
        claimed.append(found.run_id)
    return claimed


def test_runs_are_claimed_by_priority_and_then_by_age(store: Store) -> None:
    old = store.submit(((0,), (1,)))[1]
    urgent = store.submit(((0,),), priority=5)[1]
    young = store.submit()[1]
    last = store.submit(priority=-1)[1]
    assert claims_in_order(store) == [*urgent, *old, *young, *last]


def test_a_new_priority_moves_the_runs_that_wait(store: Store) -> None:
    first, second = store.submit()[1], store.submit()
    with store.db.write() as session:
        update_experiment(session, second[0], ExperimentUpdate(priority=1))
    assert claims_in_order(store) == [*second[1], *first]


def test_a_worker_claims_what_it_can_compute(store: Store) -> None:
    on_cpu, on_gpu, anywhere = (
        store.submit(device_class=device_class)[1] for device_class in ("cpu", "gpu", "any")
    )
    assert claims_in_order(store, "gpu") == [*on_gpu, *anywhere]
    assert claims_in_order(store, "cpu") == on_cpu


def test_a_cancelled_run_is_not_claimed(store: Store) -> None:
    experiment_id, _ = store.submit()
    with store.db.write() as session:
        cancel_experiment(session, experiment_id)
    assert claims_in_order(store) == []


def test_a_claim_tells_all_that_is_to_be_computed(store: Store) -> None:
    experiment_id, run_ids = store.submit(((3, 4),), sweep={"model.width": [10, 20]})
    first, second = store.claim(), store.claim()
    assert [first.run_id, second.run_id] == run_ids
    assert (second.experiment_id, second.kind, second.seeds, second.point_index) == (
        experiment_id,
        "train",
        (3, 4),
        1,
    )
    assert (second.values, second.spec["model"]["width"]) == ({"model.width": 20}, 20)
    assert (second.fence, second.attempts, second.reuse) == (1, 1, True)


def test_of_two_workers_exactly_one_gets_a_run(store: Store) -> None:
    """Two hundred times, each worker with connections of its own, as two processes have."""
    run_id = store.submit()[1][0]
    others = [Database(store.db.url) for _ in range(2)]
    together = Barrier(2)

    def claim(number: int) -> int | None:
        together.wait(timeout=60)
        found = claim_next(
            others[number],
            worker=f"a:{number}:1",
            device_class="cpu",
            device="cpu",
            lease_seconds=60,
        )
        return None if found is None else found.fence

    with ThreadPoolExecutor(2) as pool:
        for fence in range(1, ROUNDS + 1):
            won = [found for found in pool.map(claim, range(2)) if found is not None]
            assert won == [fence]
            assert store.release(run_id, fence)
    for other in others:
        other.dispose()


def test_many_workers_at_once_get_different_runs(store: Store) -> None:
    run_ids = store.submit(tuple((seed,) for seed in range(30)))[1]

    def work(number: int) -> list[str]:
        mine = []
        while (
            found := claim_next(
                store.db, worker=f"a:{number}:1", device_class="cpu", device="cpu", lease_seconds=60
            )
        ) is not None:
            mine.append(found.run_id)
        return mine

    with ThreadPoolExecutor(6) as pool:
        claimed = [run_id for mine in pool.map(work, range(6)) for run_id in mine]
    # Postgres passes over a row that another claim has locked, so that a worker may leave before all are claimed.
    claimed += claims_in_order(store)
    assert sorted(claimed) == sorted(run_ids)


def test_a_bell_is_due_for_a_run_that_nobody_has_heard_of(store: Store) -> None:
    run_id = store.submit()[1][0]
    assert list_runs_to_wake(store.db, 60) == {}
    assert list_runs_to_wake(store.db, -1) == {run_id: Needs()}
    mark_woken(store.db, [run_id])
    assert list_runs_to_wake(store.db, 60) == {}
    store.release(run_id, store.claim().fence)
    assert list_runs_to_wake(store.db, 60) == {run_id: Needs()}
