"""The queue with the experiments that wait in it."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlmodel import Session

from engine.experiment_titles import make_title
from schemas.resources import QueueState, WaitingExperiment
from schemas.status import RunStatus
from storage.database.tables import ExperimentRow, RunRow
from storage.experiments.resources import to_resources
from storage.runs.resources import queue_state

MAX_WAITING = 50


def read_queue(session: Session, *, limit_per_owner: int | None = None) -> QueueState:
    """Counts of runs, and the experiments that wait, of those that the session sees.

    limit_per_owner: as in `to_resources`.
    """
    query = (
        select(RunRow.experiment_id)
        .where(RunRow.status == RunStatus.QUEUED)
        .group_by(RunRow.experiment_id)
        .order_by(func.min(RunRow.rank), RunRow.experiment_id)
        .limit(MAX_WAITING)
    )
    rows = [session.get_one(ExperimentRow, one) for one in session.scalars(query).all()]
    waiting = [
        WaitingExperiment(
            id=one.id,
            title=one.name or make_title(one.kind, one.spec, one.sweep),
            status=one.status,
            queued=one.counts[RunStatus.QUEUED],
            starts_in_seconds=one.queue.starts_in_seconds,
        )
        for one in to_resources(session, rows, limit_per_owner=limit_per_owner)
    ]
    return queue_state(session).model_copy(update={"waiting": waiting})
