"""How long runs take: when waiting ones start and when an experiment ends.

Each run has an estimate in seconds by the model of a CPU, from its submission. Measured times
correct it: those of the experiment's own runs, or of the newest finished runs of all experiments.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from sqlalchemy import bindparam, case, func, select
from sqlmodel import Session

from schemas.resources import SecondsRange
from schemas.status import RunStatus
from storage.access.ownership import ALL_OWNERS
from storage.database.tables import RunRow
from storage.runs.claim_order import OwnerQueue, count_before
from storage.runs.placement import Capacity, Needs

RUN = RunRow.__table__
SMALLEST_SHARE = 0.01
"""Of a run that is done: of less, its time says nothing about the rest"""
MAX_MEASURED = 50
"""Newest finished runs whose times correct the estimates of others"""
MIN_MEASURED = 4
"""Fewer do not tell how far times lie apart"""
UNMEASURED = (1 / 3, 3.0)
"""How much faster or slower than the estimate runs may be, while few are measured"""
_SHARE = case(
    (RUN.c.progress_total > 0, RUN.c.progress_completed / RUN.c.progress_total), else_=0.0
)
_IS_TIMED = (RUN.c.estimated_seconds > 0) & (
    (RUN.c.status == RunStatus.SUCCEEDED) | (_SHARE > SMALLEST_SHARE)
)
_DONE = case((RUN.c.status == RunStatus.SUCCEEDED, 1.0), else_=_SHARE)
WORK_COLUMNS = (
    func.sum(case((_IS_TIMED, RUN.c.elapsed_seconds), else_=0.0)),
    func.sum(case((_IS_TIMED, RUN.c.estimated_seconds * _DONE), else_=0.0)),
    func.sum(RUN.c.estimated_seconds * (1.0 - _DONE)),
    func.max(RUN.c.estimated_seconds * (1.0 - _DONE)),
    func.sum(case((RUN.c.estimated_seconds > 0, 0), else_=1)),
)
"""What `Work` needs of the runs of one experiment in one status, in the order of its fields"""


@dataclass(frozen=True, slots=True)
class Work:
    """Work of the runs of an experiment in one status, in seconds."""

    measured: float = 0.0
    """That runs of known estimate have computed"""
    done: float = 0.0
    """By estimate, what they have done meanwhile"""
    left: float = 0.0
    """By estimate, what they still have to do"""
    most_left: float = 0.0
    """Of the run that has the most left"""
    num_unknown: int = 0
    """Runs without an estimate"""


def seconds_left(work: Mapping[RunStatus, Work], num_running: int) -> float | None:
    """When the last open run ends, if as many run at once as now; None where that is not known.

    The estimates of open runs are multiplied by what measured runs of the experiment took in
    relation to theirs: finished ones, and running ones by their progress. Without measured runs,
    the estimates are taken as they are.
    """
    timed = [work[status] for status in (RunStatus.SUCCEEDED, RunStatus.RUNNING) if status in work]
    left = [work[status] for status in (RunStatus.QUEUED, RunStatus.RUNNING) if status in work]
    if not left or any(one.num_unknown for one in left):
        return None
    measured, done = sum(one.measured for one in timed), sum(one.done for one in timed)
    factor = measured / done if measured > 0 and done > 0 else 1.0
    total, longest = sum(one.left for one in left), max(one.most_left for one in left)
    return factor * max(total / max(1, num_running), longest)


class StartTimes:
    """Rough times at which waiting experiments start."""

    def __init__(
        self, session: Session, offered: Mapping[Capacity, int], owner_queues: Sequence[OwnerQueue]
    ) -> None:
        self._session, self._offered, self._owner_queues = session, offered, owner_queues
        self._by_owner = {
            owner: (seconds, num_unknown)
            for owner, seconds, num_unknown in self._execute(_BY_OWNER)
        }
        self._running = [tuple(row) for row in self._execute(_RUNNING)]
        self._ranges: dict[str, tuple[float, float]] = {}

    def estimate(
        self, experiment_id: str, owner: str, needs: Collection[Needs]
    ) -> SecondsRange | None:
        """When the experiment's first run starts; None where that is not known.

        It is not where a run ahead has no estimate, or no listening worker fits.
        """
        slots = sum(
            number
            for capacity, number in self._offered.items()
            if any(capacity.fits(one) for one in needs)
        )
        own = next((queue for queue in self._owner_queues if queue.owner == owner), None)
        ahead = None if own is None else self._ahead(experiment_id, own)
        if not slots or ahead is None:
            return None
        found = []
        for factor in self._range(min(one.device_class for one in needs)):
            busy = [_left_of(*run, factor) for run in self._running]
            if any(one is None for one in busy):
                return None
            free_after = sorted((one for one in busy if one is not None), reverse=True)[:slots]
            free_after += [0.0] * (slots - len(free_after))
            found.append(first_free(free_after, factor * ahead))
        return SecondsRange(low=min(found), high=max(found))

    def _ahead(self, experiment_id: str, own: OwnerQueue) -> float | None:
        """Estimated seconds of the runs that are claimed before; None where one is unknown."""
        values = {"experiment_id": experiment_id, "owner": own.owner}
        (own_ahead, seconds, num_unknown), *_ = self._execute(_OWN_AHEAD, values)
        total = seconds or 0.0
        for other in self._owner_queues:
            number = 0 if other is own else count_before(other, own, own_ahead)
            if number:
                of_owner, unknown = self._by_owner.get(other.owner, (0.0, 1))
                total += of_owner * number / other.queued
                num_unknown = (num_unknown or 0) + unknown
        return None if num_unknown else total

    def _range(self, device_class: str) -> tuple[float, float]:
        """By how much runs of this class differ from their estimates: quartiles of the newest."""
        if device_class not in self._ranges:
            rows = self._execute(_MEASURED, {"device_class": device_class})
            ratios = [elapsed / estimated for elapsed, estimated in rows]
            self._ranges[device_class] = measured_range(ratios)
        return self._ranges[device_class]

    def _execute(self, query: Any, values: Mapping[str, Any] | None = None) -> Sequence[Any]:
        return self._session.execute(query, values, execution_options=ALL_OWNERS).all()


def measured_range(ratios: Sequence[float]) -> tuple[float, float]:
    """The quartiles; of fewer than `MIN_MEASURED`, `UNMEASURED` times their median, or times 1."""
    if len(ratios) >= MIN_MEASURED:
        low, _, high = quantiles(ratios, n=4)
        return low, high
    middle = median(ratios) if ratios else 1.0
    return middle * UNMEASURED[0], middle * UNMEASURED[1]


def first_free(free_after: Sequence[float], ahead: float) -> float:
    """When a slot takes a run, if the slots become free then and first do `ahead` seconds of work.

    The work is spread over the slots so that each begins it when it is free and all end at once.
    """
    level, work = 0.0, ahead
    for index, (start, following) in enumerate(
        zip(sorted(free_after), [*sorted(free_after)[1:], float("inf")], strict=True)
    ):
        level = start
        if work <= (following - start) * (index + 1):
            break
        work -= (following - start) * (index + 1)
    return level + work / (index + 1)


def _left_of(elapsed: float, estimated: float, share: float, factor: float) -> float | None:
    """What a running run has left, by its progress or else by its estimate; None: not known."""
    if share > SMALLEST_SHARE:
        return elapsed * (1 - share) / share
    return max(0.0, factor * estimated - elapsed) if estimated > 0 else None


_UNKNOWN = func.sum(case((RUN.c.estimated_seconds > 0, 0), else_=1))
_BY_OWNER = (
    select(RUN.c.owner, func.sum(RUN.c.estimated_seconds), _UNKNOWN)
    .where(RUN.c.status == RunStatus.QUEUED)
    .group_by(RUN.c.owner)
)
_RUNNING = select(RUN.c.elapsed_seconds, RUN.c.estimated_seconds, _SHARE).where(
    RUN.c.status == RunStatus.RUNNING
)
_MEASURED = (
    select(RUN.c.elapsed_seconds, RUN.c.estimated_seconds)
    .where(
        RUN.c.status == RunStatus.SUCCEEDED,
        RUN.c.device_class == bindparam("device_class"),
        RUN.c.elapsed_seconds > 0,
        RUN.c.estimated_seconds > 0,
    )
    .order_by(RUN.c.created_at.desc())
    .limit(MAX_MEASURED)
)
_OF_EXPERIMENT = RUN.alias("of_experiment")
_OWN_AHEAD = select(func.count(), func.sum(RUN.c.estimated_seconds), _UNKNOWN).where(
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
