"""What ought not to be there: runs that do not move, deliveries that nobody sends, resume state of runs that are over."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlmodel import Session

from schemas.status import RunStatus
from schemas.webhooks import DeliveryState
from storage.database.engine import as_utc, database_now
from storage.database.tables import ArtifactRow, DeliveryRow, RunRow

PATIENCE_SECONDS = 60.0
"""Longer than any of these takes where all is well"""
SILENT_SECONDS = 600.0
SILENT_STEPS = 20
LIMIT = 100


def find_stuck_runs(session: Session) -> list[tuple[str, str]]:
    """(id, why) of runs under way that do not move, by id; a hundred at most."""
    now = database_now(session)
    query = select(RunRow).where(RunRow.status == RunStatus.RUNNING).order_by(RunRow.id)
    found = [
        (run.id, why) for run in session.scalars(query) if (why := _why_stuck(run, now)) is not None
    ]
    return found[:LIMIT]


def _why_stuck(run: RunRow, now: datetime) -> str | None:
    def since(moment: datetime | None) -> float:
        then = as_utc(moment)
        return 0.0 if then is None else (now - then).total_seconds()

    if since(run.lease_until) > PATIENCE_SECONDS:
        return f"its lease ended {since(run.lease_until):.0f} s ago and nobody takes it back"
    if since(run.cancel_requested_at) > PATIENCE_SECONDS:
        return f"it was cancelled {since(run.cancel_requested_at):.0f} s ago and has not ended"
    if since(run.progress_at) > max(SILENT_SECONDS, SILENT_STEPS * run.step_seconds):
        return f"no step for {since(run.progress_at):.0f} s"
    return None


def count_leftover_resume_state(session: Session) -> tuple[int, int]:
    """(files, bytes) of runs that are over."""
    query = (
        select(func.count(), func.coalesce(func.sum(ArtifactRow.num_bytes), 0))
        .join(RunRow, RunRow.id == ArtifactRow.run_id)
        .where(
            ArtifactRow.role == "resume",
            RunRow.status.notin_((RunStatus.QUEUED, RunStatus.RUNNING)),
        )
    )
    files, size = session.execute(query).one()
    return int(files), int(size)


def count_overdue_deliveries(session: Session) -> int:
    """Deliveries to webhooks that were due long ago."""
    before = database_now(session) - timedelta(seconds=PATIENCE_SECONDS)
    query = select(func.count()).where(
        DeliveryRow.state == DeliveryState.PENDING, DeliveryRow.due_at < before
    )
    return int(session.execute(query).scalar_one())
