"""Which run a worker claims."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from schemas.resources import ExperimentUpdate
from storage.database.engine import Database
from storage.experiments.cancel import cancel_experiment
from storage.experiments.update import update_experiment
from storage.runs.placement import Needs
from storage.runs.transitions import list_runs_to_wake, mark_woken
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")

ROUNDS = 200


def claim_all(store: Store, device_class: str = "cpu") -> list[str]:
    """Run ids in the order in which a worker claims them."""
    claimed = []
    while (found := store.try_claim(device_class=device_class)) is not None:
        claimed.append(found.run_id)
    return claimed


def test_runs_are_claimed_by_priority_and_then_by_age(store: Store) -> None:
    old = store.submit(((0,), (1,)))[1]
    urgent = store.submit(((0,),), priority=5)[1]
    young = store.submit()[1]
    last = store.submit(priority=-1)[1]
    assert claim_all(store) == [*urgent, *old, *young, *last]


def test_a_changed_priority_applies_to_queued_runs(store: Store) -> None:
    first, second = store.submit()[1], store.submit()
    with store.db.write() as session:
        update_experiment(session, second[0], ExperimentUpdate(priority=1))
    assert claim_all(store) == [*second[1], *first]


def test_a_worker_claims_what_it_can_compute(store: Store) -> None:
    on_cpu, on_gpu, on_any = (
        store.submit(device_class=device_class)[1] for device_class in ("cpu", "gpu", "any")
    )
    assert claim_all(store, "gpu") == [*on_gpu, *on_any]
    assert claim_all(store, "cpu") == on_cpu


def test_a_cancelled_run_is_not_claimed(store: Store) -> None:
    experiment_id, _ = store.submit()
    with store.db.write() as session:
        cancel_experiment(session, experiment_id)
    assert claim_all(store) == []


def test_a_claim_has_the_complete_input_of_its_run(store: Store) -> None:
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


def can_claim(store: Store, **offered: Any) -> bool:
    """Whether a worker that offers this claims a run, which it then releases."""
    found = store.try_claim(**offered)
    if found is not None:
        store.release(found.run_id, found.fence)
    return found is not None


def test_a_worker_claims_only_what_fits_its_memory_and_labels(store: Store) -> None:
    store.submit(needs=Needs("any", 4 << 30, "gpu=h100,site=basement"))
    labels = {"gpu": "h100", "site": "basement", "rack": "3"}
    assert can_claim(store, memory_bytes=4 << 30, labels=labels)
    assert can_claim(store, labels=labels), "unknown memory fits every run"
    assert not can_claim(store, memory_bytes=2 << 30, labels=labels)
    assert not can_claim(store, memory_bytes=4 << 30, labels={**labels, "site": "attic"})
    assert not can_claim(store, memory_bytes=4 << 30, labels={"gpu": "h100"})


def test_a_run_that_fits_no_worker_blocks_no_other(store: Store) -> None:
    store.submit(needs=Needs("any", 64 << 30), priority=10)
    store.submit(needs=Needs("any", 0, "site=moon"), priority=10)
    small = store.submit()[1][0]
    assert store.claim(memory_bytes=1 << 30).run_id == small


def test_exactly_one_of_two_concurrent_workers_claims_a_run(store: Store) -> None:
    """Each worker has its own connections, as two processes have."""
    run_id = store.submit()[1][0]
    others = [Store(Database(store.db.url)) for _ in range(2)]
    together = Barrier(2)

    def claim(number: int) -> int | None:
        together.wait(timeout=60)
        found = others[number].try_claim(worker=f"a:{number}:1")
        return None if found is None else found.fence

    with ThreadPoolExecutor(2) as pool:
        for fence in range(1, ROUNDS + 1):
            won = [found for found in pool.map(claim, range(2)) if found is not None]
            assert won == [fence]
            assert store.release(run_id, fence)
    for other in others:
        other.db.dispose()


def test_concurrent_workers_claim_different_runs(store: Store) -> None:
    run_ids = store.submit(tuple((seed,) for seed in range(30)))[1]

    def work(number: int) -> list[str]:
        claimed_here = []
        while (found := store.try_claim(worker=f"a:{number}:1")) is not None:
            claimed_here.append(found.run_id)
        return claimed_here

    with ThreadPoolExecutor(6) as pool:
        claimed = [run_id for found in pool.map(work, range(6)) for run_id in found]
    # Postgres skips a row that another claim has locked, so a worker may see none too early.
    claimed += claim_all(store)
    assert sorted(claimed) == sorted(run_ids)


def test_a_wake_up_is_due_for_a_run_without_one(store: Store) -> None:
    run_id = store.submit()[1][0]
    assert list_runs_to_wake(store.db, 60) == {}
    assert list_runs_to_wake(store.db, -1) == {run_id: Needs()}
    mark_woken(store.db, [run_id])
    assert list_runs_to_wake(store.db, 60) == {}
    store.release(run_id, store.claim().fence)
    assert list_runs_to_wake(store.db, 60) == {run_id: Needs()}
