"""Owners take turns, an owner's runs go by priority and age, and nobody who may run waits for ever."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from schemas.resources import ExperimentUpdate
from storage.database.engine import Database
from storage.database.tables import RunRow
from storage.experiments.find import get_experiment
from storage.experiments.resources import to_resource
from storage.experiments.update import update_experiment
from storage.runs import claim as claims
from storage.runs import claim_order as fairness
from storage.runs.claim import claim_next
from storage.runs.claim_order import ClaimGroup, list_next_runs
from tests.storage.conftest import Needs, Store

pytestmark = pytest.mark.xdist_group("storage")

HOUR = 3600.0
OWNERS = ("ada", "ben", "zoe")


@dataclass
class Hall:
    """A few slots and owners with work; whoever has a free slot claims at once."""

    store: Store
    limit: int | None = None
    waiting: dict[str, list[str]] = field(default_factory=dict)
    """By owner, in the order in which they were submitted"""
    running: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By run, its owner and fence"""
    served: list[str] = field(default_factory=list)

    def submit(self, owner: str, number: int, priority: int = 0) -> None:
        group = tuple((seed,) for seed in range(number))
        self.waiting.setdefault(owner, []).extend(
            self.store.submit(group, priority=priority, owner=owner)[1]
        )

    def under_way(self, owner: str) -> int:
        return sum(one == owner for one, _ in self.running.values())

    def may_run(self, owner: str) -> bool:
        return bool(self.waiting.get(owner)) and (
            self.limit is None or self.under_way(owner) < self.limit
        )

    def claim(self) -> str | None:
        """Whose run was claimed."""
        found = claim_next(
            self.store.db,
            worker="a:1:1",
            device_class="cpu",
            device="cpu",
            lease_seconds=60,
            limit_per_owner=self.limit,
        )
        if found is None:
            return None
        owner = found.experiment_owner
        self.waiting[owner].remove(found.run_id)
        self.running[found.run_id] = (owner, found.fence)
        self.served.append(owner)
        return owner

    def finish(self, index: int) -> None:
        run_id = list(self.running)[index % len(self.running)]
        _, fence = self.running.pop(run_id)
        assert self.store.finish(run_id, fence)


def last_turn(hall: Hall, owner: str) -> int:
    """How many claims were made up to the owner's last one; 0 before the first."""
    return max((number for number, one in enumerate(hall.served, 1) if one == owner), default=0)


def check_claim(hall: Hall) -> None:
    """One claim: somebody is served where anybody may run, with the fewest under way, of equals longest not served."""
    ready = {owner: hall.under_way(owner) for owner in OWNERS if hall.may_run(owner)}
    fair_lock = {owner: last_turn(hall, owner) for owner in ready}
    served = hall.claim()
    assert (served is None) == (not ready)
    if served is not None:
        fewest = [owner for owner, number in ready.items() if number == min(ready.values())]
        assert served in fewest
        assert fair_lock[served] == min(fair_lock[owner] for owner in fewest)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(OWNERS), st.integers(1, 4), st.integers(-10, 10)),
        st.just("claim"),
        st.just("claim"),
        st.integers(0, 9),
    ),
    min_size=10,
    max_size=20,
)


def play(db: Database, steps: list[Any], limit: int | None) -> None:
    empty(db)
    hall = Hall(Store(db), limit)
    for step in steps:
        if step == "claim":
            check_claim(hall)
        elif isinstance(step, int):
            if hall.running:
                hall.finish(step)
        else:
            hall.submit(*step)


def empty(db: Database) -> None:
    with db.write() as session:
        session.execute(text("DELETE FROM experiment"))


@settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(steps=STEPS, limit=st.sampled_from([None, 1, 2]))
def test_whoever_has_the_fewest_runs_under_way_is_served_first_and_nobody_is_passed_over(
    both_databases: Database, steps: list[Any], limit: int | None
) -> None:
    play(both_databases, steps, limit)


def test_whose_runs_are_over_is_served_before_whose_run_goes_on(store: Store) -> None:
    hall = Hall(store)
    hall.submit("ada", 2)
    hall.submit("zoe", 3)
    assert [hall.claim(), hall.claim()] == ["ada", "zoe"]
    hall.finish(1)
    assert hall.claim() == "zoe", "ada was served longer ago, but has one under way"
    assert hall.claim() == "ada"


def wait_of_the_meek(store: Store) -> int:
    """Claims until the second owner's only run is served, beside one who has much, urgent and short work."""
    hall = Hall(store)
    hall.submit("ada", 30, priority=10)
    hall.claim()
    hall.submit("zoe", 1, priority=-10)
    for number in range(1, 30):
        hall.finish(0)
        if hall.claim() == "zoe":
            return number
    return 30


def test_an_owner_does_not_wait_behind_another_s_many_and_urgent_runs(store: Store) -> None:
    assert wait_of_the_meek(store) == 1


def by_rank_alone(session: Any, **_: Any) -> list[ClaimGroup]:
    """Every owner's runs in one row."""
    query = text(
        "SELECT claim_group, requires FROM run WHERE status = 'queued' ORDER BY rank, id LIMIT 1"
    )
    return [ClaimGroup(*row) for row in session.execute(query)]


def without_limit(order: Callable[..., list[ClaimGroup]]) -> Callable[..., list[ClaimGroup]]:
    return lambda session, **asked: order(session, **{**asked, "limit_per_owner": None})


def test_without_turns_the_meek_wait_until_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "list_claim_groups", by_rank_alone)
    assert wait_of_the_meek(store) > 20


def served_with_a_limit(store: Store) -> list[str | None]:
    hall = Hall(store, limit=2)
    hall.submit("ada", 4)
    hall.submit("zoe", 1)
    return [hall.claim() for _ in range(4)]


def test_an_owner_at_its_limit_is_passed_over_and_blocks_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert served_with_a_limit(store) == ["ada", "zoe", "ada", None]
    empty(store.db)
    monkeypatch.setattr(claims, "list_claim_groups", without_limit(fairness.list_claim_groups))
    assert served_with_a_limit(store) == ["ada", "zoe", "ada", "ada"]


def make_older(store: Store, run_id: str, hours: float) -> None:
    """As if it had been submitted so much earlier."""
    with store.db.write() as session:
        run = session.get_one(RunRow, run_id)
        run.rank -= hours * HOUR
        session.add(run)


@pytest.mark.parametrize(("hours", "is_overtaken"), [(19.9, True), (20.1, False)])
def test_a_step_of_priority_is_worth_an_hour(
    store: Store, hours: float, is_overtaken: bool
) -> None:
    low = store.submit(priority=-10)[1][0]
    make_older(store, low, hours)
    store.submit(priority=10)
    assert (store.claim().run_id != low) == is_overtaken


def test_a_run_whose_priority_was_changed_and_changed_back_is_where_it_was(
    store: Store,
) -> None:
    experiment_id, (run_id,) = store.submit()
    before = store.run(run_id).rank
    for priority in (7, -3, 0):
        with store.db.write() as session:
            update_experiment(session, experiment_id, ExperimentUpdate(priority=priority))
    assert store.run(run_id).rank == before


@settings(
    max_examples=10,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(steps=STEPS)
def test_the_number_of_runs_ahead_is_that_of_the_claims_that_come_first(
    both_databases: Database, steps: list[Any]
) -> None:
    play(both_databases, steps, None)
    store = Store(both_databases)
    with both_databases.read() as session:
        waiting = list(session.scalars(text("SELECT id FROM experiment WHERE status = 'queued'")))
        ahead = {
            experiment_id: to_resource(
                session, get_experiment(session, experiment_id)
            ).queue.runs_ahead
            for experiment_id in waiting
        }
        expected = list_next_runs(session, 100)
    claimed = list(claim_all(store))
    assert [run_id for run_id, _ in claimed] == expected
    order = [experiment_id for _, experiment_id in claimed]
    assert {experiment_id: order.index(experiment_id) for experiment_id in waiting} == ahead


def claim_all(store: Store) -> Iterator[tuple[str, str]]:
    """(run id, experiment id), until none waits."""
    while True:
        found = claim_next(
            store.db, worker="a:1:1", device_class="cpu", device="cpu", lease_seconds=60
        )
        if found is None:
            return
        yield found.run_id, found.experiment_id


def fitting(store: Store, **offered: Any) -> bool:
    """Whether a worker that offers this claims anything."""
    asked = {
        "worker": "a:1:1",
        "device_class": "cpu",
        "device": "cpu",
        "lease_seconds": 60,
        **offered,
    }
    found = claim_next(store.db, **asked)
    if found is not None:
        store.release(found.run_id, found.fence)
    return found is not None


def test_a_worker_claims_only_what_fits_its_memory_and_labels(store: Store) -> None:
    store.submit(needs=Needs("any", 4 << 30, "gpu=h100,kind=basement"))
    labels = {"gpu": "h100", "kind": "basement", "rack": "3"}
    assert fitting(store, memory_bytes=4 << 30, labels=labels)
    assert fitting(store, labels=labels), "a memory that is not known holds everything"
    assert not fitting(store, memory_bytes=2 << 30, labels=labels)
    assert not fitting(store, memory_bytes=4 << 30, labels={**labels, "kind": "attic"})
    assert not fitting(store, memory_bytes=4 << 30, labels={"gpu": "h100"})


def test_what_fits_nobody_blocks_nobody(store: Store) -> None:
    store.submit(needs=Needs("any", 64 << 30), priority=10)
    store.submit(needs=Needs("any", 0, "kind=moon"), priority=10)
    small = store.submit()[1][0]
    found = claim_next(
        store.db,
        worker="a:1:1",
        device_class="cpu",
        device="cpu",
        lease_seconds=60,
        memory_bytes=1 << 30,
    )
    assert found is not None
    assert found.run_id == small


def plan_of(url: str) -> str:
    """How the database answers the query for the lanes."""
    asked: list[tuple[str, Any]] = []
    db = Database(url)
    with db.read() as session:
        connection = session.connection()
        event.listen(
            connection, "before_cursor_execute", lambda *seen: asked.append((seen[2], seen[3]))
        )
        fairness.list_claim_groups(session, device_class="cpu", memory_bytes=1, limit_per_owner=1)
        statement, values = asked[0]
        explain = "EXPLAIN QUERY PLAN" if db.is_sqlite else "EXPLAIN"
        steps = connection.exec_driver_sql(f"{explain} {statement}", values)
        plan = "\n".join(step[-1] for step in steps)
    db.dispose()
    return plan


def test_a_claim_jumps_from_lane_to_lane_however_many_runs_wait(
    sqlite_template: Path, tmp_path: Path
) -> None:
    path = tmp_path / "plan.sqlite3"
    path.write_bytes(sqlite_template.read_bytes())
    url = f"sqlite:///{path}"
    walked = re.compile(
        r"SCAN (?!waiting_group)\w+|SEARCH (run_0|following|first) .*\(status=\?\)$", re.MULTILINE
    )
    assert walked.findall(plan_of(url)) == ["run_0"], (
        "where the first lane is looked up, which is one step"
    )
    db = Database(url)
    with db.write() as session:
        session.execute(text("DROP INDEX ix_run_status_claim_group_rank_id"))
    db.dispose()
    assert len(walked.findall(plan_of(url))) > 1
