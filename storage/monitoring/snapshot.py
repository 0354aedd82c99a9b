"""Count the runs, workers and deliveries of all owners, each by an index."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlmodel import Session

from schemas.status import RunStatus
from schemas.webhooks import DeliveryState
from storage.database.engine import as_utc, database_now
from storage.database.tables import DeliveryRow, RunRow, WorkerRow
from storage.runs.cordons import is_not_cordoned
from storage.runs.workers import LISTENING_SECONDS

DEVICE_CLASSES = ("any", "cpu", "gpu")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts at one moment."""

    runs: dict[RunStatus, int]
    queued: dict[str, int]
    """Queued runs by device class: `any`, `cpu`, `gpu`"""
    oldest_queued_seconds: float
    """Age of the oldest queued run; 0 where none is queued"""
    workers: dict[str, int]
    """Listening worker processes by device class"""
    slots: dict[str, int]
    """Runs that they execute concurrently, by device class"""
    deliveries_pending: int


def take_snapshot(session: Session) -> Snapshot:
    """The session must see every owner's rows."""
    by_status = select(RunRow.status, RunRow.device_class, func.count()).group_by(
        RunRow.status, RunRow.device_class
    )
    runs, queued = dict.fromkeys(RunStatus, 0), dict.fromkeys(DEVICE_CLASSES, 0)
    for status, device_class, number in session.execute(by_status):
        runs[status] += number
        if status is RunStatus.QUEUED:
            queued[device_class] = number
    now = database_now(session)
    first = select(func.min(RunRow.created_at)).where(RunRow.status == RunStatus.QUEUED)
    oldest = as_utc(session.execute(first).scalar_one())
    listening = (
        select(WorkerRow.device_class, func.count(), func.sum(WorkerRow.slots))
        .where(
            WorkerRow.seen_at > now - timedelta(seconds=LISTENING_SECONDS),
            WorkerRow.seen_at < now + timedelta(seconds=LISTENING_SECONDS),
            WorkerRow.slots > 0,
            is_not_cordoned(),
        )
        .group_by(WorkerRow.device_class)
    )
    workers, slots = {"cpu": 0, "gpu": 0}, {"cpu": 0, "gpu": 0}
    for device_class, number, num_slots in session.execute(listening):
        workers[device_class], slots[device_class] = number, int(num_slots)
    pending = select(func.count()).where(DeliveryRow.state == DeliveryState.PENDING)
    return Snapshot(
        runs,
        queued,
        max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0,
        workers,
        slots,
        int(session.execute(pending).scalar_one()),
    )
