"""Find what should not exist: stuck runs, overdue deliveries, resume state of ended runs."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlmodel import Session

from engine.durations import format_seconds
from schemas.status import RunStatus
from schemas.webhooks import DeliveryState
from storage.database.engine import database_now, seconds_since
from storage.database.tables import ArtifactRow, DeliveryRow, RunRow
from storage.runs.running import is_stalled

GRACE_SECONDS = 60.0
"""Longer than an expired lease, a cancel request or a due delivery takes in a healthy service"""
MAX_STUCK_RUNS = 100


def find_stuck_runs(session: Session) -> list[tuple[str, str]]:
    """(id, reason) of running runs that make no progress, by id; at most `MAX_STUCK_RUNS`."""
    now = database_now(session)
    query = select(RunRow).where(RunRow.status == RunStatus.RUNNING).order_by(RunRow.id)
    found = [
        (run.id, reason)
        for run in session.scalars(query)
        if (reason := _find_reason(run, now)) is not None
    ]
    return found[:MAX_STUCK_RUNS]


def _find_reason(run: RunRow, now: datetime) -> str | None:
    since_lease = seconds_since(run.lease_until, now) or 0.0
    since_cancel = seconds_since(run.cancel_requested_at, now) or 0.0
    since_progress = seconds_since(run.progress_at, now) or 0.0
    if since_lease > GRACE_SECONDS:
        return (
            f"its lease expired {format_seconds(since_lease)} ago and the run was not queued again"
        )
    if since_cancel > GRACE_SECONDS:
        return f"its cancel was requested {format_seconds(since_cancel)} ago and it has not ended"
    if is_stalled(since_progress, run.step_seconds):
        return f"no step for {format_seconds(since_progress)}"
    return None


def count_leftover_resume_state(session: Session) -> tuple[int, int]:
    """(files, bytes) of resume state whose run has ended."""
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
    """Webhook deliveries that have been due for longer than `GRACE_SECONDS`."""
    before = database_now(session) - timedelta(seconds=GRACE_SECONDS)
    query = select(func.count()).where(
        DeliveryRow.state == DeliveryState.PENDING, DeliveryRow.due_at < before
    )
    return int(session.execute(query).scalar_one())
