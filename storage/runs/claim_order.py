"""The order in which runs are claimed: owners take turns, and an owner's runs go by priority and age.

The owner with the fewest runs under way comes first; among equals the one whose last claim is longest ago, or who
has had none. Of one owner the run with the lowest *rank* comes first: the time it was made, an hour earlier for each step of priority, so that none
is overtaken for ever. Runs of one owner that need the same of a worker are a *claim_group*: a claim looks at the first run of
each, and takes no longer where more runs wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, select
from sqlmodel import Session

from schemas.status import RunStatus
from storage.access.ownership import ALL_OWNERS
from storage.database.engine import as_utc
from storage.database.tables import RunRow
from storage.runs.placement import Needs

RUN = RunRow.__table__
PRIORITY_STEP_SECONDS = 3600.0
"""A step of priority is worth so long a wait."""


@dataclass(frozen=True, slots=True)
class ClaimGroup:
    """Waiting runs of one owner that need the same of a worker."""

    name: str
    requires: str


@dataclass(frozen=True, slots=True)
class OwnerQueue:
    """Where an owner stands whose runs wait."""

    owner: str
    queued: int
    running: int
    served_at: datetime | None
    """Its last claim"""
    first_rank: float
    """Of its runs that wait"""

    @property
    def seniority(self) -> tuple[float, float]:
        """Of owners with as many runs under way, whose is smaller is served first."""
        served_at = as_utc(self.served_at)
        return served_at.timestamp() if served_at else 0.0, self.first_rank


def rank_of(created_at: datetime, priority: int) -> float:
    """A run's place among its owner's, in seconds: the lowest is first."""
    made = as_utc(created_at)
    assert made is not None
    return made.timestamp() - priority * PRIORITY_STEP_SECONDS


def claim_group_of(owner: str, needs: Needs) -> str:
    """The name of the claim_group."""
    return f"{needs.device_class}:{needs.memory_bytes}:{needs.requires}:{owner}"


def list_claim_groups(
    session: Session, *, device_class: str, memory_bytes: int, limit_per_owner: int | None
) -> list[ClaimGroup]:
    """The groups that wait for a worker on `queue` with this memory (0: any), in the order in which they are served.

    Owners with `limit_per_owner` runs under way are left out.
    """
    query = _groups_query(bool(memory_bytes), limit_per_owner is not None)
    given = {
        "device_classes": ("any", device_class),
        "memory": memory_bytes,
        "most": limit_per_owner,
    }
    return [ClaimGroup(name, requires) for name, requires in session.execute(query, given)]


@cache
def _groups_query(has_memory: bool, has_limit: bool) -> Any:
    """Put together once a process, which takes longer than to execute it."""
    groups, busy = _waiting_groups(), _running_by_owner()
    first = select(
        _first_of(RUN.alias("first"), groups.c.name).scalar_subquery().label("id")
    ).select_from(groups)
    # Postgres would otherwise look for each of them twice.
    firsts = first.cte("first_of_group").prefix_with("MATERIALIZED", dialect="postgresql")
    head, other = RUN.alias("head"), RUN.alias("other")
    running = func.coalesce(busy.c.running, 0)
    served = select(func.max(other.c.claimed_at)).where(other.c.owner == head.c.owner)
    query = (
        select(head.c.claim_group, head.c.requires)
        .select_from(firsts)
        .join(head, head.c.id == firsts.c.id)
        .outerjoin(busy, busy.c.owner == head.c.owner)
        .where(head.c.device_class.in_(bindparam("device_classes", expanding=True)))
        .order_by(running, served.scalar_subquery().nulls_first(), head.c.rank, head.c.id)
    )
    if has_memory:
        query = query.where(head.c.memory_bytes <= bindparam("memory"))
    return query.where(running < bindparam("most")) if has_limit else query


class First(NamedTuple):
    """The run that is first in its claim_group."""

    id: str
    fence: int
    experiment_id: str
    created_at: datetime
    started_at: datetime | None


def first_of_group(session: Session, claim_group: str) -> First | None:
    """On Postgres it is locked, and one that another transaction has locked is passed over."""
    found = session.execute(_FIRST_OF_LANE, {"claim_group": claim_group}).first()
    return None if found is None else First(*found)


def _first_of(run: Any, claim_group: Any, *more: str) -> Any:
    return (
        select(run.c.id, *(run.c[name] for name in more))
        .where(
            run.c.status == RunStatus.QUEUED,
            run.c.claim_group == claim_group,
            run.c.cancel_requested_at.is_(None),
        )
        .order_by(run.c.rank, run.c.id)
        .limit(1)
    )


_FIRST_OF_LANE = _first_of(RUN, bindparam("claim_group"), *First._fields[1:]).with_for_update(
    skip_locked=True
)


def _waiting_groups() -> Any:
    """Each claim_group once, by a jump of the index from one to the next."""
    run, behind = RUN.alias("run_0"), RUN.alias("behind")
    groups = select(func.min(run.c.claim_group).label("name")).where(
        run.c.status == RunStatus.QUEUED
    )
    found = groups.cte("waiting_group", recursive=True)
    following = select(func.min(behind.c.claim_group)).where(
        behind.c.status == RunStatus.QUEUED, behind.c.claim_group > found.c.name
    )
    return found.union_all(select(following.scalar_subquery()).where(found.c.name.is_not(None)))


def _running_by_owner() -> Any:
    return (
        select(RUN.c.owner.label("owner"), func.count().label("running"))
        .where(RUN.c.status == RunStatus.RUNNING)
        .group_by(RUN.c.owner)
        .subquery()
    )


def list_owner_queues(session: Session) -> list[OwnerQueue]:
    """Of every owner whose runs wait, whoever asks."""
    return [
        OwnerQueue(*row)
        for row in session.execute(_standings_query(), execution_options=ALL_OWNERS)
    ]


@cache
def _standings_query() -> Any:
    busy, last = _running_by_owner(), RUN.alias("last")
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
    served = select(func.max(last.c.claimed_at)).where(last.c.owner == waiting.c.owner)
    return select(
        waiting.c.owner,
        waiting.c.queued,
        func.coalesce(busy.c.running, 0),
        served.scalar_subquery(),
        waiting.c.first,
    ).outerjoin(busy, busy.c.owner == waiting.c.owner)


def count_ahead(
    session: Session, experiment_id: str, owner: str, owner_queues: list[OwnerQueue]
) -> int:
    """Runs that would be claimed before the experiment's first one, if workers that fit all took them one after the other
    and none ended meanwhile."""
    given = {"experiment_id": experiment_id, "owner": owner}
    own = int(session.execute(_OWN_AHEAD, given, execution_options=ALL_OWNERS).scalar_one())
    mine = next((owner_queue for owner_queue in owner_queues if owner_queue.owner == owner), None)
    if mine is None:
        return 0
    return own + sum(_before(other, mine, own) for other in owner_queues if other is not mine)


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


def _before(other: OwnerQueue, mine: OwnerQueue, own: int) -> int:
    """How many of the other's runs come before the one of mine that has `own` others of mine before it.

    Who has more under way at the start is first whenever both have the same number: its last claim is longer ago.
    """
    is_first = (-other.running, other.seniority) < (-mine.running, mine.seniority)
    return min(other.queued, max(0, mine.running + own - other.running + is_first))


def list_first(session: Session, limit: int) -> list[str]:
    """The waiting runs that the session sees, as they would be claimed by workers that fit all, none ending meanwhile."""
    places = []
    for owner_queue in list_owner_queues(session):
        query = (
            select(RunRow.id)
            .where(RunRow.status == RunStatus.QUEUED, RunRow.owner == owner_queue.owner)
            .order_by(RunRow.rank, RunRow.id)
            .limit(limit)
        )
        places += [
            (owner_queue.running + own, -owner_queue.running, owner_queue.seniority, run_id)
            for own, run_id in enumerate(session.scalars(query))
        ]
    return [run_id for *_, run_id in sorted(places)[:limit]]
