"""Cancel an experiment."""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session

from schemas.events import EventName
from schemas.seed_plan import PlanEnd, read_seed_plan
from schemas.status import ExperimentStatus, RunStatus
from storage.database.engine import database_now
from storage.database.tables import ExperimentRow, RunRow
from storage.errors import InvalidTransition
from storage.experiments.locks import lock_changes
from storage.experiments.status import refresh_status
from storage.files.resume_state import drop_resume_state
from storage.results.events import append_event

ALREADY_ENDED = "the experiment has already {status}; only a queued or running one can be cancelled"


def cancel_experiment(session: Session, experiment_id: str) -> ExperimentRow:
    """Cancel the queued runs at once and request the running ones to stop; no seeds are added.

    A second call changes nothing. Raises NotFound, and InvalidTransition where the experiment has
    already succeeded or failed.
    """
    row = lock_changes(session, experiment_id)
    if row.status is ExperimentStatus.CANCELLED:
        return row
    if row.status.is_terminal:
        raise InvalidTransition(ALREADY_ENDED.format(status=row.status))
    now = database_now(session)
    query = (
        select(RunRow)
        .where(
            RunRow.experiment_id == experiment_id,
            RunRow.status.in_((RunStatus.QUEUED, RunStatus.RUNNING)),
            RunRow.cancel_requested_at.is_(None),
        )
        .order_by(RunRow.id)
    )
    runs = list(session.scalars(query.with_for_update()))
    plan = read_seed_plan(row.seed_plan)
    ends_plan = plan is not None and plan.ended is None
    if runs or ends_plan:
        append_event(
            session, experiment_id, EventName.EXPERIMENT_CANCEL_REQUESTED, {"runs": len(runs)}
        )
    for run in runs:
        run.cancel_requested_at = now
        if run.status is RunStatus.QUEUED:
            run.status, run.finished_at = RunStatus.CANCELLED, now
            drop_resume_state(session, run.id)
            append_event(session, experiment_id, EventName.RUN_CANCELLED, {}, run.id)
        session.add(run)
    if plan is not None and ends_plan:
        ended = plan.model_copy(update={"ended": PlanEnd.CANCELLED})
        row.seed_plan = ended.model_dump(mode="json")
        session.add(row)
    refresh_status(session, experiment_id)
    return row
