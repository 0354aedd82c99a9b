"""Owners take turns, an owner's runs go by priority and age, and no run waits for ever."""

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
from storage.runs import claim, claim_order
from storage.runs.claim_order import ClaimGroup, list_next_runs
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")

HOUR = 3600.0
OWNERS = ("ada", "ben", "zoe")


@dataclass
class Simulation:
    """Owners that submit runs, and workers that claim and finish them."""

    store: Store
    limit: int | None = None
    waiting: dict[str, list[str]] = field(default_factory=dict)
    """Run ids by owner, in the order of submission"""
    running: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Owner and fence by run id"""
    claimed_by: list[str] = field(default_factory=list)

    def submit(self, owner: str, number: int, priority: int = 0) -> None:
        group = tuple((seed,) for seed in range(number))
        self.waiting.setdefault(owner, []).extend(
            self.store.submit(group, priority=priority, owner=owner)[1]
        )

    def count_running(self, owner: str) -> int:
        return sum(one == owner for one, _ in self.running.values())

    def may_run(self, owner: str) -> bool:
        return bool(self.waiting.get(owner)) and (
            self.limit is None or self.count_running(owner) < self.limit
        )

    def claim(self) -> str | None:
        """Claim a run; returns its owner."""
        found = self.store.try_claim(limit_per_owner=self.limit)
        if found is None:
            return None
        owner = found.experiment_owner
        self.waiting[owner].remove(found.run_id)
        self.running[found.run_id] = (owner, found.fence)
        self.claimed_by.append(owner)
        return owner

    def finish(self, index: int) -> None:
        run_id = list(self.running)[index % len(self.running)]
        _, fence = self.running.pop(run_id)
        assert self.store.finish(run_id, fence)


def last_claim(simulation: Simulation, owner: str) -> int:
    """The number of the owner's last claim, from 1; 0 before the first."""
    return max(
        (number for number, one in enumerate(simulation.claimed_by, 1) if one == owner), default=0
    )


def check_claim(simulation: Simulation) -> None:
    """A claim goes to an owner with the fewest running runs, of equals to the longest without one.

    It succeeds whenever an owner has a run that may start.
    """
    ready = {
        owner: simulation.count_running(owner) for owner in OWNERS if simulation.may_run(owner)
    }
    last_claims = {owner: last_claim(simulation, owner) for owner in ready}
    owner = simulation.claim()
    assert (owner is None) == (not ready)
    if owner is not None:
        fewest = [one for one, number in ready.items() if number == min(ready.values())]
        assert owner in fewest
        assert last_claims[owner] == min(last_claims[one] for one in fewest)


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


def run_steps(db: Database, steps: list[Any], limit: int | None) -> None:
    empty(db)
    simulation = Simulation(Store(db), limit)
    for step in steps:
        if step == "claim":
            check_claim(simulation)
        elif isinstance(step, int):
            if simulation.running:
                simulation.finish(step)
        else:
            simulation.submit(*step)


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
def test_the_owner_with_the_fewest_running_runs_claims_first_and_none_is_skipped(
    both_databases: Database, steps: list[Any], limit: int | None
) -> None:
    run_steps(both_databases, steps, limit)


def test_an_owner_without_running_runs_comes_before_one_with_a_running_run(store: Store) -> None:
    simulation = Simulation(store)
    simulation.submit("ada", 2)
    simulation.submit("zoe", 3)
    assert [simulation.claim(), simulation.claim()] == ["ada", "zoe"]
    simulation.finish(1)
    assert simulation.claim() == "zoe", "ada's last claim is longer ago, but she has a running run"
    assert simulation.claim() == "ada"


def claims_until_a_single_run(store: Store) -> int:
    """Claims until one owner's only run starts beside another's many short, urgent runs."""
    simulation = Simulation(store)
    simulation.submit("ada", 30, priority=10)
    simulation.claim()
    simulation.submit("zoe", 1, priority=-10)
    for number in range(1, 30):
        simulation.finish(0)
        if simulation.claim() == "zoe":
            return number
    return 30


def test_an_owner_does_not_wait_for_many_urgent_runs_of_another(store: Store) -> None:
    assert claims_until_a_single_run(store) == 1


def by_rank_alone(session: Any, **_: Any) -> list[ClaimGroup]:
    """A claim order that ignores owners."""
    query = text(
        "SELECT claim_group, requires FROM run WHERE status = 'queued' ORDER BY rank, id LIMIT 1"
    )
    return [ClaimGroup(*row) for row in session.execute(query)]


def without_limit(order: Callable[..., list[ClaimGroup]]) -> Callable[..., list[ClaimGroup]]:
    return lambda session, **options: order(session, **{**options, "limit_per_owner": None})


def test_without_turns_a_single_run_waits_until_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "list_claim_groups", by_rank_alone)
    assert claims_until_a_single_run(store) > 20


def owners_claimed_with_a_limit(store: Store) -> list[str | None]:
    simulation = Simulation(store, limit=2)
    simulation.submit("ada", 4)
    simulation.submit("zoe", 1)
    return [simulation.claim() for _ in range(4)]


def test_an_owner_at_its_limit_is_skipped_and_blocks_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert owners_claimed_with_a_limit(store) == ["ada", "zoe", "ada", None]
    empty(store.db)
    monkeypatch.setattr(claim, "list_claim_groups", without_limit(claim_order.list_claim_groups))
    assert owners_claimed_with_a_limit(store) == ["ada", "zoe", "ada", "ada"]


def make_older(store: Store, run_id: str, hours: float) -> None:
    """As if the run had been submitted so many hours earlier."""
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


def test_changing_a_priority_back_restores_the_rank(
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
def test_runs_ahead_is_the_number_of_earlier_claims(
    both_databases: Database, steps: list[Any]
) -> None:
    run_steps(both_databases, steps, None)
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
    """Claim every queued run; (run id, experiment id)."""
    while (found := store.try_claim()) is not None:
        yield found.run_id, found.experiment_id


def plan_of(url: str) -> str:
    """The query plan of the claim groups."""
    executed: list[tuple[str, Any]] = []
    db = Database(url)
    with db.read() as session:
        connection = session.connection()
        event.listen(
            connection, "before_cursor_execute", lambda *call: executed.append((call[2], call[3]))
        )
        claim_order.list_claim_groups(
            session, device_class="cpu", memory_bytes=1, limit_per_owner=1
        )
        statement, values = executed[0]
        explain = "EXPLAIN QUERY PLAN" if db.is_sqlite else "EXPLAIN"
        steps = connection.exec_driver_sql(f"{explain} {statement}", values)
        plan = "\n".join(step[-1] for step in steps)
    db.dispose()
    return plan


def test_a_claim_reads_one_run_of_each_group(sqlite_template: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.sqlite3"
    path.write_bytes(sqlite_template.read_bytes())
    url = f"sqlite:///{path}"
    scans = re.compile(
        r"SCAN (?!waiting_group)\w+|SEARCH (run_0|following|first) .*\(status=\?\)$", re.MULTILINE
    )
    assert scans.findall(plan_of(url)) == ["run_0"], (
        "only the lookup of the first group, which is one step"
    )
    db = Database(url)
    with db.write() as session:
        session.execute(text("DROP INDEX ix_run_status_claim_group_rank_id"))
    db.dispose()
    assert len(scans.findall(plan_of(url))) > 1
