"""The state transitions of a claimed run, and its wake-up times.

Each transition is one conditional UPDATE on (id, fence, status). If it changes no row, the caller
has lost the run and must stop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, or_, select, update
from sqlmodel import Session

from schemas.events import EventName
from schemas.status import FailureReason, RunStatus
from storage.database.engine import Database, database_now
from storage.database.tables import RunRow
from storage.experiments.status import refresh_status
from storage.files.resume_state import drop_resume_state
from storage.monitoring.counters import HistogramName, observe
from storage.results.events import append_event
from storage.runs.placement import Needs


def holds_run(session: Session, run_id: str, fence: int) -> bool:
    """Whether this fence is current; locks the run's row until the transaction ends."""
    query = select(RunRow.id).where(is_held(run_id, fence)).with_for_update()
    return session.execute(query).first() is not None


def finish_run(
    session: Session,
    run_id: str,
    fence: int,
    results: Sequence[Mapping[str, Any]],
    manifest: Mapping[str, Any],
    elapsed_seconds: float | None = None,
) -> bool:
    """running → succeeded, with one result a seed. False for a lost fence.

    elapsed_seconds: as in a `Beat`.
    """
    stored = [dict(result) for result in results]
    row = _end(
        session,
        run_id,
        fence,
        RunStatus.SUCCEEDED,
        elapsed_seconds,
        result=stored,
        manifest=dict(manifest),
    )
    if row is None:
        return False
    session.execute(
        update(RunRow).where(RunRow.id == run_id).values(progress_completed=RunRow.progress_total)
    )
    outcomes = [result["outcome"] for result in stored]
    append_event(
        session, row.experiment_id, EventName.RUN_SUCCEEDED, {"outcomes": outcomes}, run_id
    )
    refresh_status(session, row.experiment_id)
    if row.step_seconds > 0:
        observe(
            session, HistogramName.STEP, "gpu" if row.device == "cuda" else "cpu", row.step_seconds
        )
    return True


def fail_run(
    session: Session,
    run_id: str,
    fence: int,
    reason: FailureReason,
    detail: str,
    manifest: Mapping[str, Any] | None = None,
    elapsed_seconds: float | None = None,
) -> bool:
    """running → failed. False for a lost fence. elapsed_seconds: as in a `Beat`."""
    row = _end(
        session,
        run_id,
        fence,
        RunStatus.FAILED,
        elapsed_seconds,
        error_code=reason,
        error_detail=detail[:2000],
        manifest=dict(manifest) if manifest is not None else None,
    )
    if row is None:
        return False
    append_event(
        session,
        row.experiment_id,
        EventName.RUN_FAILED,
        {"reason": reason, "detail": detail[:2000]},
        run_id,
    )
    refresh_status(session, row.experiment_id)
    return True


def cancel_run(
    session: Session, run_id: str, fence: int, elapsed_seconds: float | None = None
) -> bool:
    """running → cancelled, once its worker has stopped. False for a lost fence.

    elapsed_seconds: as in a `Beat`.
    """
    row = _end(session, run_id, fence, RunStatus.CANCELLED, elapsed_seconds)
    if row is None:
        return False
    append_event(session, row.experiment_id, EventName.RUN_CANCELLED, {}, run_id)
    refresh_status(session, row.experiment_id)
    return True


def release_run(
    session: Session, run_id: str, fence: int, elapsed_seconds: float | None = None
) -> bool:
    """running → queued, as its worker shuts down; the attempt does not count.

    A run with a cancel request becomes cancelled instead. False for a lost fence.
    elapsed_seconds: as in a `Beat`.
    """
    row = session.get(RunRow, run_id, with_for_update=True)
    if row is not None and row.cancel_requested_at is not None:
        cancelled = cancel_run(session, run_id, fence, elapsed_seconds)
        if cancelled:
            drop_resume_state(session, run_id)
        return cancelled
    released = session.execute(
        update(RunRow)
        .where(is_held(run_id, fence))
        .values(
            status=RunStatus.QUEUED,
            worker=None,
            lease_until=None,
            woken_at=None,
            attempts=RunRow.attempts - 1,
            interruptions=RunRow.interruptions + 1,
            **_elapsed(elapsed_seconds),
        )
    )
    if row is None or released.rowcount != 1:
        return False
    append_event(session, row.experiment_id, EventName.RUN_INTERRUPTED, {}, run_id)
    refresh_status(session, row.experiment_id)
    return True


def list_runs_to_wake(
    db: Database, older_than_seconds: float, *, limit: int = 200
) -> dict[str, Needs]:
    """The needs, by run id, of queued runs without a wake-up for so many seconds.

    Runs that had none come first: submitted long enough ago, or queued again after an attempt.
    Times in the future are from before the clock was set back; such runs are included.
    """
    with db.read() as session:
        now = database_now(session)
        before = now - timedelta(seconds=older_than_seconds)
        waiting = select(
            RunRow.id, RunRow.device_class, RunRow.memory_bytes, RunRow.requires
        ).where(RunRow.status == RunStatus.QUEUED)
        never = waiting.where(
            RunRow.woken_at.is_(None),
            or_(
                RunRow.created_at < before,
                RunRow.created_at > now,
                RunRow.attempts + RunRow.interruptions > 0,
            ),
        )
        found = session.execute(never.limit(limit)).all()
        again = waiting.where(or_(RunRow.woken_at < before, RunRow.woken_at > now)).order_by(
            RunRow.woken_at
        )
        found += session.execute(again.limit(limit - len(found))).all()
        return {run_id: Needs(*needs) for run_id, *needs in found}


def list_overdue_needs(session: Session, older_than_seconds: float) -> list[Needs]:
    """The needs, each once, of runs that have been queued for so many seconds.

    A run that is queued again after an attempt counts at once.
    """
    now = database_now(session)
    query = (
        select(RunRow.device_class, RunRow.memory_bytes, RunRow.requires)
        .where(
            RunRow.status == RunStatus.QUEUED,
            RunRow.cancel_requested_at.is_(None),
            or_(
                RunRow.created_at < now - timedelta(seconds=older_than_seconds),
                RunRow.created_at > now,
                RunRow.attempts + RunRow.interruptions > 0,
            ),
        )
        .distinct()
    )
    return [Needs(*needed) for needed in session.execute(query)]


def mark_woken(db: Database, run_ids: Sequence[str]) -> None:
    """Store that wake-ups for these runs have been sent."""
    with db.write(durable=False) as session:
        session.execute(
            update(RunRow).where(RunRow.id.in_(run_ids)).values(woken_at=database_now(session))
        )


def is_held(run_id: str, fence: int) -> Any:
    """A condition on rows of runs: this fence is current."""
    return and_(RunRow.id == run_id, RunRow.fence == fence, RunRow.status == RunStatus.RUNNING)


def _end(
    session: Session,
    run_id: str,
    fence: int,
    status: RunStatus,
    elapsed_seconds: float | None,
    **values: Any,
) -> RunRow | None:
    row = session.get(RunRow, run_id)
    ended = session.execute(
        update(RunRow)
        .where(is_held(run_id, fence))
        .values(
            status=status,
            finished_at=database_now(session),
            lease_until=None,
            **_elapsed(elapsed_seconds),
            **values,
        )
    )
    if row is None or ended.rowcount != 1:
        return None
    if row.training is not None:
        _wake_sharing(session, row)
    return row


def _wake_sharing(session: Session, row: RunRow) -> None:
    """Runs that waited for this one's training are to be woken soon."""
    session.execute(
        update(RunRow)
        .where(
            RunRow.experiment_id == row.experiment_id,
            RunRow.status == RunStatus.QUEUED,
            RunRow.training == row.training,
        )
        .values(woken_at=None)
    )


def _elapsed(seconds: float | None) -> dict[str, float]:
    """The value to store; none where the last heartbeat's is kept."""
    return {} if seconds is None else {"elapsed_seconds": seconds}
