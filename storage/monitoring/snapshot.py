"""What there is at this moment, of everyone: few counts, each answered by an index alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlmodel import Session

from schemas.status import RunStatus
from schemas.webhooks import NoticeState
from storage.database.engine import as_utc, database_now
from storage.database.tables import NoticeRow, RunRow, WorkerRow
from storage.runs.workers import LISTENING_SECONDS

QUEUES = ("any", "cpu", "gpu")


@dataclass(frozen=True, slots=True)
class Census:
    runs: dict[RunStatus, int]
    queued: dict[str, int]
    """Runs that wait, by the class of device they ask for: `any`, `cpu`, `gpu`"""
    oldest_queued_seconds: float
    """0 where none waits"""
    workers: dict[str, int]
    """Processes that listen, by queue"""
    slots: dict[str, int]
    """Runs that these compute at once, by queue"""
    notices_pending: int


def take_census(session: Session) -> Census:
    """The session must see every owner's rows."""
    by_status = select(RunRow.status, RunRow.queue, func.count()).group_by(
        RunRow.status, RunRow.queue
    )
    runs, queued = dict.fromkeys(RunStatus, 0), dict.fromkeys(QUEUES, 0)
    for status, queue, number in session.execute(by_status):
        runs[status] += number
        if status is RunStatus.QUEUED:
            queued[queue] = number
    now = database_now(session)
    first = select(func.min(RunRow.created_at)).where(RunRow.status == RunStatus.QUEUED)
    oldest = as_utc(session.execute(first).scalar_one())
    listening = (
        select(WorkerRow.queue, func.count(), func.sum(WorkerRow.slots))
        .where(WorkerRow.seen_at > now - timedelta(seconds=LISTENING_SECONDS))
        .group_by(WorkerRow.queue)
    )
    workers, slots = {"cpu": 0, "gpu": 0}, {"cpu": 0, "gpu": 0}
    for queue, number, of_them in session.execute(listening):
        workers[queue], slots[queue] = number, int(of_them)
    pending = select(func.count()).where(NoticeRow.state == NoticeState.PENDING)
    return Census(
        runs,
        queued,
        (now - oldest).total_seconds() if oldest is not None else 0.0,
        workers,
        slots,
        int(session.execute(pending).scalar_one()),
    )
