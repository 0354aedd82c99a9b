"""Experiments that add seeds until their verdicts are decided: which are due for a look at the
verdicts, and what a look changes.

A look is due when every run has succeeded and the plan has not ended. It is judged outside any
transaction and stored in one, together with the seeds that it adds or the end of the experiment.
The transaction stores nothing where an event was appended since the look was begun. So a look that
was cut off is made again, and of two at the same time one is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session

from engine.paper.looks import LookOutcome
from engine.spec import sha256_of
from schemas.events import EventName
from schemas.seed_plan import PlanEnd, SeedPlan, read_seed_plan
from schemas.status import ExperimentStatus, RunStatus
from storage.access.ownership import NOBODY
from storage.access.quota_usage import count_active
from storage.database.json_columns import readable
from storage.database.tables import ExperimentRow, PointRow, RunRow
from storage.errors import InvalidTransition, NotFound
from storage.experiments.create import PlannedRun
from storage.experiments.locks import lock_experiment, lock_queue
from storage.experiments.retry_extend import add_to_experiment
from storage.experiments.status import refresh_status
from storage.files.in_use import hold_files_of
from storage.results.events import append_event
from storage.runs.placement import Needs


@dataclass(frozen=True, slots=True)
class DueLook:
    """A look that is due."""

    experiment_id: str
    plan: SeedPlan
    num_seeds: int
    last_event: int
    """The experiment's, when its results were read"""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The most queued runs."""

    of_owner: int
    """Of each owner; the user of a service without keys is none"""
    of_all: int


@dataclass(frozen=True, slots=True)
class StoredLook:
    """What the transaction of a look did."""

    needs: Sequence[Needs]
    """Of the runs that it added"""
    waits_for_queue: bool = False
    """Nothing was stored: the seeds that it would add do not fit into the queue"""


def list_due_looks(session: Session, limit: int = 50, after: str = "") -> list[str]:
    """Ids, in order and greater than `after`, of experiments that are due for a look."""
    query = _due(ExperimentRow.id).where(ExperimentRow.id > after)
    return list(session.scalars(query.order_by(ExperimentRow.id).limit(limit)))


def find_due_look(session: Session, experiment_id: str) -> DueLook | None:
    """None where no look is due. Raises UnreadableRow."""
    row = session.scalars(_due(ExperimentRow).where(ExperimentRow.id == experiment_id)).first()
    plan = None if row is None else read_seed_plan(row.seed_plan)
    if row is None or plan is None:
        return None
    return DueLook(experiment_id, plan, len(row.seeds), row.last_event)


def _due(entity: Any) -> Any:
    """While every run has succeeded, only an open plan keeps an experiment running."""
    unfinished = select(RunRow.id).where(
        RunRow.experiment_id == ExperimentRow.id, RunRow.status != RunStatus.SUCCEEDED
    )
    return select(entity).where(
        ExperimentRow.status == ExperimentStatus.RUNNING,
        ExperimentRow.seed_plan.is_not(None),
        ExperimentRow.hidden_at.is_(None),
        ~unfinished.exists(),
    )


def store_look(
    session: Session,
    due: DueLook,
    outcome: LookOutcome,
    verdicts: Sequence[Mapping[str, Any]],
    limits: QueueLimits,
) -> StoredLook | None:
    """Append the look's event, and add the next seeds or end the experiment.

    verdicts: for the event. None, and nothing stored, where the experiment has changed since the
    look was begun, or was deleted.
    """
    lock_queue(session)
    try:
        row = lock_experiment(session, due.experiment_id)
    except NotFound:
        return None
    if row.last_event != due.last_event:
        return None
    ended, runs = _find_end(session, row, due, outcome), list[PlannedRun]()
    seeds = _next_seeds(row.seeds, due.plan)
    if ended is None:
        runs = _plan_runs(session, row, seeds)
        if not _fits_queue(session, row.owner, len(runs), limits):
            return StoredLook((), waits_for_queue=True)
        try:
            hold_files_of(session, row, _list_specs(session, row))
        except InvalidTransition:
            ended, runs = PlanEnd.FILES_DELETED, []
    plan = due.plan.model_copy(update={"looks_made": due.plan.looks_made + 1, "ended": ended})
    row.seed_plan = plan.model_dump(mode="json")
    session.add(row)
    data = {
        "look": plan.looks_made,
        "looks": plan.looks_planned,
        "seeds": due.num_seeds,
        "confidence": plan.confidence,
        "verdicts": list(verdicts),
        "decided": outcome.decided,
        "ended": ended,
    }
    append_event(session, row.id, EventName.EXPERIMENT_LOOKED, data)
    if runs:
        add_to_experiment(session, row, seeds=[*row.seeds, *seeds], runs=runs)
    else:
        refresh_status(session, row.id)
    return StoredLook([run.needs for run in runs])


def _find_end(
    session: Session, row: ExperimentRow, due: DueLook, outcome: LookOutcome
) -> PlanEnd | None:
    """Why the look is the last one; None where it is not."""
    if outcome.decided:
        return PlanEnd.DECIDED
    if not outcome.is_open:
        return PlanEnd.UNDECIDABLE
    seeds = _next_seeds(row.seeds, due.plan)
    if not seeds:
        return PlanEnd.AT_MOST
    if row.max_seconds is not None:
        query = select(func.sum(RunRow.elapsed_seconds)).where(RunRow.experiment_id == row.id)
        so_far = float(session.execute(query).scalar_one() or 0.0)
        if so_far * (1 + len(seeds) / due.num_seeds) > row.max_seconds:
            return PlanEnd.MAX_SECONDS
    return None


def _next_seeds(present: Sequence[int], plan: SeedPlan) -> list[int]:
    """The lowest seeds that the experiment does not have; none once it has the most."""
    known = set(present)
    unused = (seed for seed in count() if seed not in known)
    return list(islice(unused, max(0, min(plan.step, plan.at_most - len(present)))))


def _plan_runs(session: Session, row: ExperimentRow, seeds: Sequence[int]) -> list[PlannedRun]:
    """Runs of these seeds at every point, seed by seed.

    None is larger than the largest run that the point has had, whose needs it has. Points that
    shared a training of that run share the new ones.
    """
    query = (
        select(
            PointRow.index,
            RunRow.seeds,
            RunRow.training,
            RunRow.device_class,
            RunRow.memory_bytes,
            RunRow.requires,
            RunRow.estimated_seconds,
        )
        .join(PointRow, PointRow.id == RunRow.point_id)
        .where(RunRow.experiment_id == row.id)
        .order_by(PointRow.index, RunRow.id)
    )
    largest: dict[int, tuple[int, str | None, Needs, float]] = {}
    for index, its_seeds, training, *needs, seconds in session.execute(query):
        size = len(readable(its_seeds))
        if index not in largest or size > largest[index][0]:
            largest[index] = (size, training, Needs(*needs), seconds)
    runs = []
    for index, (size, training, needs_of_point, seconds) in largest.items():
        for start in range(0, len(seeds), size):
            chosen = tuple(seeds[start : start + size])
            shared = None if training is None else sha256_of([training, chosen])
            its_seconds = seconds * len(chosen) / size
            runs.append((start, PlannedRun(index, chosen, needs_of_point, shared, its_seconds)))
    return [run for _, run in sorted(runs, key=lambda one: one[0])]


def _fits_queue(session: Session, owner: str, num_runs: int, limits: QueueLimits) -> bool:
    """Whether so many more runs may be queued."""
    if count_active(session, None)[RunStatus.QUEUED] + num_runs > limits.of_all:
        return False
    if owner == NOBODY:
        return True
    return count_active(session, owner)[RunStatus.QUEUED] + num_runs <= limits.of_owner


def _list_specs(session: Session, row: ExperimentRow) -> list[Mapping[str, Any]]:
    query = select(PointRow.spec).where(PointRow.experiment_id == row.id)
    return [readable(spec) for spec in session.scalars(query)]
