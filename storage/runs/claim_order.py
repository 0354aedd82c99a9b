"""The order in which runs are claimed: owners take turns, an owner's runs go by priority and age.

1. Owners: fewest running runs first; then the longest time since the last claim, owners without a
   claim before all others.
2. Runs of one owner: lowest *rank* first. The rank is the creation time, an hour earlier for each
   step of priority, so that no run is overtaken for ever.

A *claim group* is all queued runs of one owner with equal needs. A claim reads only the first run
of each group, so its cost does not grow with the number of queued runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, exists, func, or_, select
from sqlmodel import Session

from schemas.status import RunStatus
from storage.access.ownership import ALL_OWNERS
from storage.database.engine import as_utc
from storage.database.tables import RunRow
from storage.runs.placement import Needs

RUN = RunRow.__table__
PRIORITY_STEP_SECONDS = 3600.0
"""How much earlier in the order one step of priority moves a run"""


@dataclass(frozen=True, slots=True)
class ClaimGroup:
    """Queued runs of one owner with equal needs."""

    name: str
    requires: str


@dataclass(frozen=True, slots=True)
class OwnerQueue:
    """An owner with queued runs."""

    owner: str
    queued: int
    running: int
    last_claim_at: datetime | None
    first_rank: float
    """The lowest rank of the owner's queued runs"""

    @property
    def turn(self) -> tuple[float, float]:
        """Sort key among owners with equally many running runs: the smaller value first."""
        last_claim_at = as_utc(self.last_claim_at)
        return last_claim_at.timestamp() if last_claim_at else 0.0, self.first_rank


class FirstRun(NamedTuple):
    """The run that is first in its claim group."""

    id: str
    fence: int
    experiment_id: str
    created_at: datetime
    started_at: datetime | None
    training: str | None
    """Digest of a training that other runs of the experiment use too"""


def rank_of(created_at: datetime, priority: int) -> float:
    """A run's place among the owner's runs, in seconds since 1970: the lowest first."""
    created = as_utc(created_at)
    assert created is not None
    return created.timestamp() - priority * PRIORITY_STEP_SECONDS


def claim_group_of(owner: str, needs: Needs) -> str:
    """The name of the claim group."""
    return f"{needs.device_class}:{needs.memory_bytes}:{needs.requires}:{owner}"


def list_claim_groups(
    session: Session, *, device_class: str, memory_bytes: int, limit_per_owner: int | None
) -> list[ClaimGroup]:
    """The claim groups that fit a worker with this device class and memory, in claim order.

    memory_bytes: 0 fits every run. Owners with `limit_per_owner` running runs are left out.
    """
    query = _groups_query(bool(memory_bytes), limit_per_owner is not None)
    values = {
        "device_classes": ("any", device_class),
        "memory": memory_bytes,
        "limit": limit_per_owner,
    }
    return [ClaimGroup(name, requires) for name, requires in session.execute(query, values)]


@cache
def _groups_query(has_memory: bool, has_limit: bool) -> Any:
    """Built once a process: building it takes longer than executing it."""
    groups, busy = _waiting_groups(), _running_by_owner()
    first = select(
        _first_run(RUN.alias("first"), groups.c.name).scalar_subquery().label("id")
    ).select_from(groups)
    # Without MATERIALIZED, Postgres would look up each first run twice.
    firsts = first.cte("first_of_group").prefix_with("MATERIALIZED", dialect="postgresql")
    head, other = RUN.alias("head"), RUN.alias("other")
    running = func.coalesce(busy.c.running, 0)
    last_claim = select(func.max(other.c.claimed_at)).where(other.c.owner == head.c.owner)
    query = (
        select(head.c.claim_group, head.c.requires)
        .select_from(firsts)
        .join(head, head.c.id == firsts.c.id)
        .outerjoin(busy, busy.c.owner == head.c.owner)
        .where(head.c.device_class.in_(bindparam("device_classes", expanding=True)))
        .order_by(running, last_claim.scalar_subquery().nulls_first(), head.c.rank, head.c.id)
    )
    if has_memory:
        query = query.where(head.c.memory_bytes <= bindparam("memory"))
    return query.where(running < bindparam("limit")) if has_limit else query


def _waiting_groups() -> Any:
    """The name of each claim group once, by one index lookup from each name to the next."""
    run, following = RUN.alias("run_0"), RUN.alias("following")
    smallest = select(func.min(run.c.claim_group).label("name")).where(
        run.c.status == RunStatus.QUEUED
    )
    found = smallest.cte("waiting_group", recursive=True)
    after = select(func.min(following.c.claim_group)).where(
        following.c.status == RunStatus.QUEUED, following.c.claim_group > found.c.name
    )
    return found.union_all(select(after.scalar_subquery()).where(found.c.name.is_not(None)))


def _running_by_owner() -> Any:
    return (
        select(RUN.c.owner.label("owner"), func.count().label("running"))
        .where(RUN.c.status == RunStatus.RUNNING)
        .group_by(RUN.c.owner)
        .subquery()
    )


def trains_alone(run: Any) -> Any:
    """The condition that this run need not wait for another one of the experiment to train its net.

    It waits while one is running and none has succeeded yet.
    """

    def is_there(status: RunStatus) -> Any:
        other = RUN.alias(f"{status}_one")
        return exists().where(
            other.c.experiment_id == run.c.experiment_id,
            other.c.status == status,
            other.c.training == run.c.training,
        )

    waits = is_there(RunStatus.RUNNING) & ~is_there(RunStatus.SUCCEEDED)
    return or_(run.c.training.is_(None), ~waits)


def _first_run(run: Any, claim_group: Any, *columns: str) -> Any:
    return (
        select(run.c.id, *(run.c[name] for name in columns))
        .where(
            run.c.status == RunStatus.QUEUED,
            run.c.claim_group == claim_group,
            run.c.cancel_requested_at.is_(None),
            trains_alone(run),
        )
        .order_by(run.c.rank, run.c.id)
        .limit(1)
    )


_FIRST_OF_GROUP = _first_run(RUN, bindparam("claim_group"), *FirstRun._fields[1:]).with_for_update(
    skip_locked=True
)


def first_of_group(session: Session, claim_group: str) -> FirstRun | None:
    """The first run of the group. Postgres locks it, and skips runs that others have locked."""
    found = session.execute(_FIRST_OF_GROUP, {"claim_group": claim_group}).first()
    return None if found is None else FirstRun(*found)


def list_owner_queues(session: Session) -> list[OwnerQueue]:
    """Every owner with queued runs, whatever rows the session sees."""
    rows = session.execute(_owner_queues_query(), execution_options=ALL_OWNERS)
    return [OwnerQueue(*row) for row in rows]


@cache
def _owner_queues_query() -> Any:
    busy, claimed = _running_by_owner(), RUN.alias("claimed")
    waiting = (
        select(
            RUN.c.owner.label("owner"),
            func.count().label("queued"),
            func.min(RUN.c.rank).label("first"),
        )
        .where(RUN.c.status == RunStatus.QUEUED)
        .group_by(RUN.c.owner)
        .subquery()
    )
    last_claim = select(func.max(claimed.c.claimed_at)).where(claimed.c.owner == waiting.c.owner)
    return select(
        waiting.c.owner,
        waiting.c.queued,
        func.coalesce(busy.c.running, 0),
        last_claim.scalar_subquery(),
        waiting.c.first,
    ).outerjoin(busy, busy.c.owner == waiting.c.owner)


def count_ahead(
    session: Session, experiment_id: str, owner: str, owner_queues: list[OwnerQueue]
) -> int:
    """How many runs would be claimed before the experiment's first one.

    This assumes that workers fit every run and claim one after the other, and that no run ends
    meanwhile.
    """
    values = {"experiment_id": experiment_id, "owner": owner}
    own_ahead = int(session.execute(_OWN_AHEAD, values, execution_options=ALL_OWNERS).scalar_one())
    own = next((queue for queue in owner_queues if queue.owner == owner), None)
    if own is None:
        return 0
    return own_ahead + sum(
        count_before(other, own, own_ahead) for other in owner_queues if other is not own
    )


_OF_EXPERIMENT = RUN.alias("of_experiment")
_OWN_AHEAD = select(func.count()).where(
    RUN.c.status == RunStatus.QUEUED,
    RUN.c.owner == bindparam("owner"),
    RUN.c.rank
    < select(func.min(_OF_EXPERIMENT.c.rank))
    .where(
        _OF_EXPERIMENT.c.experiment_id == bindparam("experiment_id"),
        _OF_EXPERIMENT.c.status == RunStatus.QUEUED,
    )
    .scalar_subquery(),
)


def count_before(other: OwnerQueue, own: OwnerQueue, own_ahead: int) -> int:
    """Runs of `other` claimed before the run of `own` that has `own_ahead` own runs before it.

    Whenever both have equally many running runs, the owner that began with more is first: its last
    claim is longer ago.
    """
    other_is_first = (-other.running, other.turn) < (-own.running, own.turn)
    return min(other.queued, max(0, own.running + own_ahead - other.running + other_is_first))


def list_next_runs(session: Session, limit: int) -> list[str]:
    """Ids of the queued runs that the session sees, in claim order; see `count_ahead`."""
    places = []
    for queue in list_owner_queues(session):
        query = (
            select(RunRow.id)
            .where(RunRow.status == RunStatus.QUEUED, RunRow.owner == queue.owner)
            .order_by(RunRow.rank, RunRow.id)
            .limit(limit)
        )
        places += [
            (queue.running + own_ahead, -queue.running, queue.turn, run_id)
            for own_ahead, run_id in enumerate(session.scalars(query))
        ]
    return [run_id for *_, run_id in sorted(places)[:limit]]
