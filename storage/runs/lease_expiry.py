"""Requeue runs whose lease has expired or whose worker process is dead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, select, update

from runtime.log_once import log_once
from schemas.events import EventName
from schemas.status import FailureReason, RunStatus
from storage.database.engine import Database, database_now
from storage.database.tables import RunRow
from storage.experiments.status import refresh_status
from storage.files.resume_state import drop_resume_state
from storage.monitoring.counters import CounterName, increment
from storage.results.events import append_event


def expire_leases(db: Database, max_attempts: int, *, limit: int = 100) -> list[str]:
    """End the expired leases; returns the run ids.

    A run is queued again, or cancelled where that was requested, or failed after `max_attempts`
    losses. Each run has its own transaction, so that a bad row does not block the others.
    """
    with db.read() as session:
        now = database_now(session)
        query = (
            select(RunRow.id)
            .where(RunRow.status == RunStatus.RUNNING, RunRow.lease_until < now)
            .order_by(RunRow.id)
            .limit(limit)
        )
        candidates = list(session.scalars(query))
    return _expire_each(db, candidates, max_attempts, worker=None)


def shorten_leases(db: Database, lease_seconds: float) -> list[str]:
    """Let leases of more than twice this length end after `lease_seconds`; returns the run ids.

    They were renewed before the clock was set back. Without this, a run whose worker has died would
    wait for the clock to arrive there again; a worker that runs renews the lease in time.
    """
    with db.read() as session:
        longest = database_now(session) + timedelta(seconds=2 * lease_seconds)
        too_long = and_(RunRow.status == RunStatus.RUNNING, RunRow.lease_until > longest)
        found = list(session.scalars(select(RunRow.id).where(too_long).order_by(RunRow.id)))
    if found:
        with db.write() as session:
            end = database_now(session) + timedelta(seconds=lease_seconds)
            # Again with the condition: the worker may have renewed the lease meanwhile.
            session.execute(
                update(RunRow).where(RunRow.id.in_(found), too_long).values(lease_until=end)
            )
    return found


def expire_worker(db: Database, worker: str, max_attempts: int) -> list[str]:
    """Like `expire_leases`, but immediately, for the runs of a dead worker process."""
    with db.read() as session:
        query = select(RunRow.id).where(RunRow.status == RunStatus.RUNNING, RunRow.worker == worker)
        candidates = list(session.scalars(query))
    return _expire_each(db, candidates, max_attempts, worker=worker)


def _expire_each(
    db: Database, run_ids: Sequence[str], max_attempts: int, worker: str | None
) -> list[str]:
    expired = []
    for run_id in run_ids:
        with log_once(f"run {run_id}: its lease could not be ended"):
            if _expire(db, run_id, max_attempts, worker):
                expired.append(run_id)
    return expired


def _expire(db: Database, run_id: str, max_attempts: int, worker: str | None) -> bool:
    with db.write() as session:
        columns = (RunRow.experiment_id, RunRow.fence, RunRow.attempts, RunRow.losses)
        locked = (
            select(*columns, RunRow.cancel_requested_at)
            .where(RunRow.id == run_id)
            .with_for_update()
        )
        row = session.execute(locked).first()
        if row is None:
            return False
        now = database_now(session)
        lost = RunRow.worker == worker if worker is not None else RunRow.lease_until < now
        status, name, data = _next_state(row, max_attempts)
        values: dict[str, Any] = {
            "fence": RunRow.fence + 1,
            "worker": None,
            "lease_until": None,
            "woken_at": None,
            "losses": RunRow.losses + 1,
        }
        if status is RunStatus.FAILED:
            values |= {
                "error_code": FailureReason.WORKER_LOST,
                "error_detail": data["detail"],
            }
        if status.is_terminal:
            values["finished_at"] = now
        updated = session.execute(
            update(RunRow)
            .where(
                RunRow.id == run_id,
                RunRow.status == RunStatus.RUNNING,
                RunRow.fence == row.fence,
                lost,
            )
            .values(status=status, **values)
        )
        if updated.rowcount != 1:
            return False
        if status.is_terminal:
            drop_resume_state(session, run_id)
        append_event(session, row.experiment_id, name, data, run_id)
        refresh_status(session, row.experiment_id)
        increment(session, CounterName.LEASES_LOST, "expired" if worker is None else "died")
        return True


def _next_state(row: Any, max_attempts: int) -> tuple[RunStatus, EventName, dict[str, str]]:
    """The status of a run after the loss of its worker, and the event that reports it."""
    if row.cancel_requested_at is not None:
        return RunStatus.CANCELLED, EventName.RUN_CANCELLED, {}
    losses = row.losses + 1
    if losses < max_attempts:
        return RunStatus.QUEUED, EventName.RUN_LEASE_LOST, {"attempt": str(row.attempts)}
    detail = f"the worker was lost {losses} times without a new checkpoint"
    data = {"reason": FailureReason.WORKER_LOST.value, "detail": detail}
    return RunStatus.FAILED, EventName.RUN_FAILED, data
