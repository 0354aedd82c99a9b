"""The life of a run. Every move is one conditional UPDATE on (id, fence, status); zero rows means you lost: stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, or_, select, update
from sqlmodel import Session

from schemas.events import EventName
from schemas.status import FailureReason, RunStatus
from storage.db import Database, as_utc, database_now
from storage.errors import UnreadableRow
from storage.events import append_event
from storage.experiments import refresh_status
from storage.fault_points import reach
from storage.resume_state import drop_resume_state
from storage.tables import ExperimentRow, PointRow, RunRow
from storage.telling import telling_once


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that is now ours, until the lease is over."""

    run_id: str
    fence: int
    experiment_id: str
    kind: str
    point_index: int
    values: Mapping[str, Any]
    spec: Mapping[str, Any]
    digest: str
    seeds: tuple[int, ...]
    execution: Mapping[str, Any]
    reuse: bool
    max_seconds: int | None
    elapsed_seconds: float
    attempts: int
    experiment_owner: str
    """Whose trainings, data sets and checkpoints it may use"""


@dataclass(frozen=True, slots=True)
class RunningRun:
    """A run under way, as whoever minds its process sees it."""

    run_id: str
    fence: int
    owner: str
    max_seconds: int | None
    computed_seconds: float
    """Over all attempts"""
    silent_seconds: float
    """Since the run last showed life"""
    step_seconds: float
    """What a step of it takes, as a rule; 0 while that is not known"""
    seconds_since_cancel: float | None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker learns when it renews its lease."""

    alive: bool
    """False: the lease was lost, and nothing may be written any more"""
    cancel_requested: bool


def claim_next(
    db: Database, *, owner: str, queue: str, device: str, lease_seconds: float, hint: str | None = None
) -> Claim | None:
    """Claim the best queued run this worker can compute, or None: by priority, then age; `hint` breaks no order.

    A run that cannot be read is failed on the way: it starves nobody.
    """
    while True:
        try:
            return _claim_best(db, owner, queue, device, lease_seconds)
        except _Unreadable as unreadable:
            _fail_unreadable(db, unreadable)


class _Unreadable(Exception):
    """A queued row that no worker could execute."""

    def __init__(self, run_id: str, fence: int, experiment_id: str, error: Exception) -> None:
        why = str(error) if isinstance(error, UnreadableRow) else type(error).__name__
        super().__init__(f"the run's stored form cannot be read: {why}")
        self.run_id, self.fence, self.experiment_id = run_id, fence, experiment_id


def _claim_best(db: Database, owner: str, queue: str, device: str, lease_seconds: float) -> Claim | None:
    with db.write() as session:
        now = database_now(session)
        query = (
            select(RunRow.id, RunRow.fence, RunRow.experiment_id)
            .where(
                RunRow.status == RunStatus.QUEUED,
                RunRow.cancel_requested_at.is_(None),
                RunRow.queue.in_(("any", queue)),
            )
            .order_by(RunRow.priority.desc(), RunRow.created_at, RunRow.id)
            .limit(1)
        )
        if not db.is_sqlite:
            query = query.with_for_update(skip_locked=True)
        best = session.execute(query).first()
        if best is None:
            return None
        run_id, fence, experiment_id = best
        reach("claim.1")
        claimed = session.execute(
            update(RunRow)
            .where(RunRow.id == run_id, RunRow.status == RunStatus.QUEUED, RunRow.fence == fence)
            .values(
                status=RunStatus.RUNNING,
                fence=RunRow.fence + 1,
                attempts=RunRow.attempts + 1,
                owner=owner,
                device=device,
                lease_until=now + timedelta(seconds=lease_seconds),
                progress_at=now,
                step_seconds=0.0,
                started_at=func.coalesce(RunRow.started_at, now),
                claimed_at=now,
            )
        )
        if claimed.rowcount != 1:
            return None
        try:
            found = _read_claim(session, run_id)
        except (UnreadableRow, ValueError, TypeError, LookupError) as error:
            raise _Unreadable(run_id, fence, experiment_id, error) from None
        data = {
            "attempt": found.attempts,
            "fence": found.fence,
            "device": device,
            "worker": owner,
            "seeds": list(found.seeds),
            "point": found.point_index,
        }
        append_event(session, found.experiment_id, EventName.RUN_STARTED, data, run_id)
        refresh_status(session, found.experiment_id)
        reach("claim.2")
    reach("claim.3")
    return found


def _read_claim(session: Session, run_id: str) -> Claim:
    row = session.get_one(RunRow, run_id, populate_existing=True)
    experiment = session.get_one(ExperimentRow, row.experiment_id)
    point = session.get_one(PointRow, row.point_id)
    return Claim(
        run_id=row.id,
        fence=row.fence,
        experiment_id=row.experiment_id,
        kind=experiment.kind,
        point_index=point.index,
        values=point.values,
        spec=point.spec,
        digest=point.digest,
        seeds=tuple(row.seeds),
        execution=experiment.execution,
        reuse=experiment.reuse,
        max_seconds=experiment.max_seconds,
        elapsed_seconds=row.elapsed_seconds,
        attempts=row.attempts,
        experiment_owner=experiment.owner,
    )


def _fail_unreadable(db: Database, run: _Unreadable) -> None:
    """queued → failed."""
    with db.write() as session:
        moved = session.execute(
            update(RunRow)
            .where(RunRow.id == run.run_id, RunRow.fence == run.fence, RunRow.status == RunStatus.QUEUED)
            .values(
                status=RunStatus.FAILED,
                fence=RunRow.fence + 1,
                error_code=FailureReason.INTERNAL,
                error_detail=str(run),
                finished_at=database_now(session),
            )
        )
        if moved.rowcount == 1:
            drop_resume_state(session, run.run_id)
            data = {"reason": FailureReason.INTERNAL.value, "detail": str(run)}
            append_event(session, run.experiment_id, EventName.RUN_FAILED, data, run.run_id)
            refresh_status(session, run.experiment_id)


def heartbeat(
    db: Database,
    run_id: str,
    fence: int,
    lease_seconds: float,
    progress: tuple[float, float, str] | None = None,
    step_seconds: float = 0.0,
) -> Heartbeat:
    """Renew the lease and note the progress (completed, total, unit) and how long a step takes."""
    with db.write() as session:
        now = database_now(session)
        values: dict[str, Any] = {"lease_until": now + timedelta(seconds=lease_seconds)}
        if progress is not None:
            completed, total, unit = progress
            values |= {"progress_completed": completed, "progress_total": total, "progress_unit": unit}
            values |= {"progress_at": now, "step_seconds": step_seconds}
        found = session.execute(
            update(RunRow).where(_held(run_id, fence)).values(**values).returning(RunRow.cancel_requested_at)
        ).first()
        return Heartbeat(alive=found is not None, cancel_requested=found is not None and found[0] is not None)


def holds_run(session: Session, run_id: str, fence: int) -> bool:
    """Whether the fence still holds; locks the row, so that what is written in this transaction cannot be stale."""
    query = select(RunRow.id).where(_held(run_id, fence)).with_for_update()
    return session.execute(query).first() is not None


def finish_run(
    session: Session,
    run_id: str,
    fence: int,
    results: Sequence[Mapping[str, Any]],
    manifest: Mapping[str, Any],
) -> bool:
    """running → succeeded, with one sheet a seed."""
    stored = [dict(result) for result in results]
    row = _end(session, run_id, fence, RunStatus.SUCCEEDED, result=stored, manifest=dict(manifest))
    if row is None:
        return False
    session.execute(
        update(RunRow).where(RunRow.id == run_id).values(progress_completed=RunRow.progress_total)
    )
    outcomes = [result["outcome"] for result in stored]
    append_event(session, row.experiment_id, EventName.RUN_SUCCEEDED, {"outcomes": outcomes}, run_id)
    refresh_status(session, row.experiment_id)
    return True


def fail_run(
    session: Session,
    run_id: str,
    fence: int,
    reason: FailureReason,
    detail: str,
    manifest: Mapping[str, Any] | None = None,
) -> bool:
    """running → failed, for one of the closed set of reasons."""
    row = _end(
        session,
        run_id,
        fence,
        RunStatus.FAILED,
        error_code=reason,
        error_detail=detail[:2000],
        manifest=dict(manifest) if manifest is not None else None,
    )
    if row is None:
        return False
    append_event(
        session, row.experiment_id, EventName.RUN_FAILED, {"reason": reason, "detail": detail[:2000]}, run_id
    )
    refresh_status(session, row.experiment_id)
    return True


def cancel_run(session: Session, run_id: str, fence: int) -> bool:
    """running → cancelled, as the worker that ran it has stopped."""
    row = _end(session, run_id, fence, RunStatus.CANCELLED)
    if row is None:
        return False
    append_event(session, row.experiment_id, EventName.RUN_CANCELLED, {}, run_id)
    refresh_status(session, row.experiment_id)
    return True


def release_run(session: Session, run_id: str, fence: int) -> bool:
    """running → queued, as the worker drains: the attempt does not count. A cancel request ends it instead."""
    row = session.get(RunRow, run_id, with_for_update=True)
    if row is not None and row.cancel_requested_at is not None:
        cancelled = cancel_run(session, run_id, fence)
        if cancelled:
            drop_resume_state(session, run_id)
        return cancelled
    released = session.execute(
        update(RunRow)
        .where(_held(run_id, fence))
        .values(
            status=RunStatus.QUEUED,
            owner=None,
            lease_until=None,
            rung_at=None,
            attempts=RunRow.attempts - 1,
            interruptions=RunRow.interruptions + 1,
            elapsed_seconds=_elapsed(session, row),
        )
    )
    if row is None or released.rowcount != 1:
        return False
    append_event(session, row.experiment_id, EventName.RUN_INTERRUPTED, {}, run_id)
    refresh_status(session, row.experiment_id)
    return True


def reap_expired(db: Database, max_attempts: int, *, limit: int = 100) -> list[str]:
    """Take the runs back whose lease is over; each in its own transaction, so that one bad row starves nobody."""
    with db.read() as session:
        now = database_now(session)
        query = (
            select(RunRow.id)
            .where(RunRow.status == RunStatus.RUNNING, RunRow.lease_until < now)
            .order_by(RunRow.id)
            .limit(limit)
        )
        candidates = list(session.scalars(query))
    return _reap_each(db, candidates, max_attempts, owner=None)


def reap_owner(db: Database, owner: str, max_attempts: int) -> list[str]:
    """Take back at once the runs of a worker process that is known to be dead."""
    with db.read() as session:
        query = select(RunRow.id).where(RunRow.status == RunStatus.RUNNING, RunRow.owner == owner)
        candidates = list(session.scalars(query))
    return _reap_each(db, candidates, max_attempts, owner=owner)


def _reap_each(db: Database, run_ids: Sequence[str], max_attempts: int, owner: str | None) -> list[str]:
    reaped = []
    for run_id in run_ids:
        with telling_once(f"run {run_id} could not be taken back"):
            if _reap(db, run_id, max_attempts, owner):
                reaped.append(run_id)
    return reaped


def owners_of_running(db: Database, prefix: str) -> list[str]:
    """The owners, beginning with `prefix`, of the runs under way."""
    with db.read() as session:
        query = (
            select(RunRow.owner)
            .where(RunRow.status == RunStatus.RUNNING, RunRow.owner.startswith(prefix, autoescape=True))
            .distinct()
        )
        return list(session.scalars(query))


def list_running(db: Database, prefix: str) -> list[RunningRun]:
    """The runs under way of the owners that begin with `prefix`."""
    with db.read() as session:
        now = database_now(session)
        query = (
            select(
                *(RunRow.id, RunRow.fence, RunRow.owner, RunRow.claimed_at, RunRow.elapsed_seconds),
                *(RunRow.progress_at, RunRow.step_seconds, RunRow.cancel_requested_at),
                ExperimentRow.max_seconds,
            )
            .join(ExperimentRow, ExperimentRow.id == RunRow.experiment_id)
            .where(RunRow.status == RunStatus.RUNNING, RunRow.owner.startswith(prefix, autoescape=True))
            .order_by(RunRow.id)
        )
        return [
            RunningRun(
                run_id=row.id,
                fence=row.fence,
                owner=row.owner,
                max_seconds=row.max_seconds,
                computed_seconds=_elapsed(session, row),
                silent_seconds=_seconds_since(row.progress_at, now) or 0.0,
                step_seconds=row.step_seconds,
                seconds_since_cancel=_seconds_since(row.cancel_requested_at, now),
            )
            for row in session.execute(query)
        ]


def _seconds_since(moment: datetime | None, now: datetime) -> float | None:
    then = as_utc(moment)
    return None if then is None else (now - then).total_seconds()


def _reap(db: Database, run_id: str, max_attempts: int, owner: str | None) -> bool:
    with db.write() as session:
        of_reaped = (RunRow.experiment_id, RunRow.fence, RunRow.attempts, RunRow.losses)
        timing = (RunRow.cancel_requested_at, RunRow.claimed_at, RunRow.elapsed_seconds)
        locked = select(*of_reaped, *timing).where(RunRow.id == run_id).with_for_update()
        row = session.execute(locked).first()
        if row is None:
            return False
        now = database_now(session)
        lost = RunRow.owner == owner if owner is not None else RunRow.lease_until < now
        values: dict[str, Any] = {
            "fence": RunRow.fence + 1,
            "owner": None,
            "lease_until": None,
            "rung_at": None,
            "losses": RunRow.losses + 1,
            "elapsed_seconds": _elapsed(session, row),
        }
        if row.cancel_requested_at is not None:
            status, name, data = RunStatus.CANCELLED, EventName.RUN_CANCELLED, {}
        elif row.losses + 1 >= max_attempts:
            detail = f"the worker was lost {row.losses + 1} times without a new checkpoint"
            status, name = RunStatus.FAILED, EventName.RUN_FAILED
            data = {"reason": FailureReason.WORKER_LOST.value, "detail": detail}
            values |= {"error_code": FailureReason.WORKER_LOST, "error_detail": detail}
        else:
            status, name, data = RunStatus.QUEUED, EventName.RUN_LEASE_LOST, {"attempt": str(row.attempts)}
        if status.is_terminal:
            values["finished_at"] = now
        moved = session.execute(
            update(RunRow)
            .where(RunRow.id == run_id, RunRow.status == RunStatus.RUNNING, RunRow.fence == row.fence, lost)
            .values(status=status, **values)
        )
        if moved.rowcount != 1:
            return False
        if status.is_terminal:
            drop_resume_state(session, run_id)
        append_event(session, row.experiment_id, name, data, run_id)
        refresh_status(session, row.experiment_id)
        return True


def runs_to_ring(db: Database, older_than_seconds: float, *, limit: int = 200) -> list[tuple[str, str]]:
    """(id, queue) of queued runs whose bell has not been rung for so long."""
    with db.read() as session:
        before = database_now(session) - timedelta(seconds=older_than_seconds)
        query = (
            select(RunRow.id, RunRow.queue)
            .where(
                RunRow.status == RunStatus.QUEUED,
                or_(
                    RunRow.rung_at < before,
                    and_(RunRow.rung_at.is_(None), RunRow.created_at < before),
                    and_(RunRow.rung_at.is_(None), RunRow.attempts + RunRow.interruptions > 0),
                ),
            )
            .order_by(RunRow.priority.desc(), RunRow.id)
            .limit(limit)
        )
        return [(run_id, queue) for run_id, queue in session.execute(query)]


def mark_rung(db: Database, run_ids: Sequence[str]) -> None:
    """Note that the bells of these runs have been rung."""
    with db.write() as session:
        session.execute(update(RunRow).where(RunRow.id.in_(run_ids)).values(rung_at=database_now(session)))


def _held(run_id: str, fence: int) -> Any:
    return and_(RunRow.id == run_id, RunRow.fence == fence, RunRow.status == RunStatus.RUNNING)


def _end(session: Session, run_id: str, fence: int, status: RunStatus, **values: Any) -> RunRow | None:
    row = session.get(RunRow, run_id)
    ended = session.execute(
        update(RunRow)
        .where(_held(run_id, fence))
        .values(
            status=status,
            finished_at=database_now(session),
            lease_until=None,
            elapsed_seconds=_elapsed(session, row),
            **values,
        )
    )
    return row if row is not None and ended.rowcount == 1 else None


def _elapsed(session: Session, row: Any) -> float:
    """Seconds computed over all attempts, the one that ends now included."""
    if row is None or row.claimed_at is None:
        return 0.0
    began = as_utc(row.claimed_at)
    assert began is not None
    return float(row.elapsed_seconds) + max(0.0, (database_now(session) - began).total_seconds())
