"""Claim a queued run for a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import func, select, update
from sqlmodel import Session

from runtime.fault_points import reach
from schemas.events import EventName
from schemas.status import FailureReason, RunStatus
from storage.database.engine import Database, database_now, seconds_since
from storage.database.tables import ExperimentRow, PointRow, RunRow
from storage.errors import UnreadableRow
from storage.experiments.status import refresh_status
from storage.files.resume_state import drop_resume_state
from storage.monitoring.counters import HistogramName, observe
from storage.results.events import append_event
from storage.runs.claim_order import (
    FirstRun,
    first_of_group,
    list_claim_groups,
    trains_alone,
)
from storage.runs.cordons import find_cordon
from storage.runs.placement import has_labels

CLAIM_LOCK = 0x72696368
"""Key of the advisory lock that serializes claims on Postgres where owners have a limit"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this worker may execute until its lease expires."""

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
    """At the time of the claim; see `reading_as_owner`"""
    shared_checkpoints: Mapping[str, Any] | None = None
    """Moments at which the training keeps the weights for other points of the experiment"""
    trace_parent: str | None = None
    """W3C `traceparent` of the request that made the run; None where tracing is off"""


def claim_next(
    db: Database,
    *,
    worker: str,
    device_class: str,
    device: str,
    lease_seconds: float,
    memory_bytes: int = 0,
    labels: Mapping[str, str] = MappingProxyType({}),
    limit_per_owner: int | None = None,
) -> Claim | None:
    """Claim the first run, by `storage.runs.claim_order`, that fits this worker; None for none.

    memory_bytes: of the device; 0: unknown. limit_per_owner: most concurrent runs of one owner.
    A cordoned worker claims nothing. A run with an unreadable row fails instead of being claimed,
    so that it blocks no other run.
    """
    while True:
        try:
            # A claim that is lost with the machine leaves the run queued.
            with db.write(durable=False) as session:
                first = (
                    _choose(session, device_class, memory_bytes, labels, limit_per_owner)
                    if find_cordon(session, worker) is None
                    else None
                )
                claim = (
                    None
                    if first is None
                    else _take(session, first, worker, device_class, device, lease_seconds)
                )
            if claim is not None:
                reach("claim.3")
            return claim
        except _Unreadable as unreadable:
            _fail_unreadable(db, unreadable)


class _Unreadable(Exception):
    """A queued run with an unreadable row."""

    def __init__(self, run_id: str, fence: int, experiment_id: str, error: Exception) -> None:
        why = str(error) if isinstance(error, UnreadableRow) else type(error).__name__
        super().__init__(f"the run's stored spec cannot be read: {why}")
        self.run_id, self.fence, self.experiment_id = run_id, fence, experiment_id


def _choose(
    session: Session,
    device_class: str,
    memory_bytes: int,
    labels: Mapping[str, str],
    limit_per_owner: int | None,
) -> FirstRun | None:
    """The first run that fits; None for none."""
    if limit_per_owner is not None and session.get_bind().dialect.name != "sqlite":
        # Two concurrent claims would each not count the other.
        session.execute(select(func.pg_advisory_xact_lock(CLAIM_LOCK)))
    groups = list_claim_groups(
        session,
        device_class=device_class,
        memory_bytes=memory_bytes,
        limit_per_owner=limit_per_owner,
    )
    for claim_group in groups:
        if has_labels(labels, claim_group.requires):
            first = first_of_group(session, claim_group.name)
            if first is not None:
                return first
    return None


def _take(
    session: Session,
    first: FirstRun,
    worker: str,
    device_class: str,
    device: str,
    lease_seconds: float,
) -> Claim | None:
    """queued → running."""
    run_id, fence, experiment_id, created_at, started_at, training = first
    if training is not None:
        lock_training(session, training)
    now = database_now(session)
    reach("claim.1")
    claimed = session.execute(
        update(RunRow)
        .where(
            RunRow.id == run_id,
            RunRow.status == RunStatus.QUEUED,
            RunRow.fence == fence,
            trains_alone(RunRow.__table__),
        )
        .values(
            status=RunStatus.RUNNING,
            fence=RunRow.fence + 1,
            attempts=RunRow.attempts + 1,
            worker=worker,
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
    _append_started(session, found, device, worker)
    refresh_status(session, found.experiment_id)
    waited = seconds_since(created_at, now)
    if started_at is None and waited is not None:
        observe(session, HistogramName.CLAIM, device_class, max(0.0, waited))
    reach("claim.2")
    return found


def lock_training(session: Session, training: str) -> None:
    """Wait for other claims of runs with this training, until the transaction ends.

    Two of them would each not see that the other has started to train. SQLite has one writer.
    """
    if session.get_bind().dialect.name != "sqlite":
        session.execute(select(func.pg_advisory_xact_lock(CLAIM_LOCK, func.hashtext(training))))


def _append_started(session: Session, claim: Claim, device: str, worker: str) -> None:
    data = {
        "attempt": claim.attempts,
        "fence": claim.fence,
        "device": device,
        "worker": worker,
        "seeds": list(claim.seeds),
        "point": claim.point_index,
    }
    append_event(session, claim.experiment_id, EventName.RUN_STARTED, data, claim.run_id)


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
        shared_checkpoints=point.shared_checkpoints,
        trace_parent=row.trace_parent,
    )


def _fail_unreadable(db: Database, run: _Unreadable) -> None:
    """queued → failed."""
    with db.write() as session:
        updated = session.execute(
            update(RunRow)
            .where(
                RunRow.id == run.run_id,
                RunRow.fence == run.fence,
                RunRow.status == RunStatus.QUEUED,
            )
            .values(
                status=RunStatus.FAILED,
                fence=RunRow.fence + 1,
                error_code=FailureReason.INTERNAL,
                error_detail=str(run),
                finished_at=database_now(session),
            )
        )
        if updated.rowcount == 1:
            drop_resume_state(session, run.run_id)
            data = {"reason": FailureReason.INTERNAL.value, "detail": str(run)}
            append_event(session, run.experiment_id, EventName.RUN_FAILED, data, run.run_id)
            refresh_status(session, run.experiment_id)
