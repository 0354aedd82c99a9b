"""Heartbeats: they renew the leases of runs and bring back what is requested of the workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, bindparam, func, select, tuple_, update

from schemas.status import RunStatus
from storage.database.engine import Database, Session, database_now
from storage.database.tables import RunRow
from storage.runs.cordons import find_cordon

RUN = RunRow.__table__


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker tells of a run that it executes.

    progress: (completed, total, unit); None where the run was not active since the last heartbeat.
    step_seconds: median of the last steps. elapsed_seconds: computing time of all attempts, by the
    worker's own clock; None keeps the last one.
    """

    run_id: str
    fence: int
    progress: tuple[float, float, str] | None = None
    step_seconds: float = 0.0
    elapsed_seconds: float | None = None

    def values(self, now: datetime, lease_seconds: float) -> dict[str, Any]:
        """The parameters of the statement; None keeps a column's value."""
        completed, total, unit = self.progress or (None, None, None)
        is_active = self.progress is not None
        return {
            "of_run": self.run_id,
            "with_fence": self.fence,
            "new_lease_until": now + timedelta(seconds=lease_seconds),
            "new_elapsed_seconds": self.elapsed_seconds,
            "new_progress_completed": completed,
            "new_progress_total": total,
            "new_progress_unit": unit,
            "new_progress_at": now if is_active else None,
            "new_step_seconds": self.step_seconds if is_active else None,
        }


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The answer to a heartbeat."""

    alive: bool
    """False: the lease is lost, and the worker must write nothing more"""
    cancel_requested: bool
    hand_back: bool
    """Whether the run is to be saved and queued again, because its worker is drained"""


def _given_or_kept(column: Column[Any]) -> Any:
    return func.coalesce(bindparam(f"new_{column.name}", type_=column.type), column)


_IS_RUNNING = RUN.c.status == RunStatus.RUNNING
_RENEW = (
    update(RUN)
    .where(RUN.c.id == bindparam("of_run"), RUN.c.fence == bindparam("with_fence"), _IS_RUNNING)
    .values(
        {
            name: _given_or_kept(RUN.c[name])
            for name in (
                "lease_until",
                "elapsed_seconds",
                "progress_completed",
                "progress_total",
                "progress_unit",
                "progress_at",
                "step_seconds",
            )
        }
    )
)
"""Built once: every run executes it each second"""
_RENEW_ONE = _RENEW.returning(RUN.c.cancel_requested_at, RUN.c.worker)


def send_heartbeat(db: Database, beat: Beat, lease_seconds: float) -> Heartbeat:
    """Renew the lease of a run, and store its progress where there is some."""
    with db.write(durable=False) as session:
        values = beat.values(database_now(session), lease_seconds)
        found = session.execute(_RENEW_ONE, values).first()
        if found is None:
            return Heartbeat(alive=False, cancel_requested=False, hand_back=False)
        return _answer(found[0], bool(find_cordon(session, found[1])))


def send_heartbeats(
    db: Database, beats: Sequence[Beat], lease_seconds: float
) -> dict[str, Heartbeat]:
    """As `send_heartbeat` for several runs in one transaction; the answers by run.

    No answer tells that a run was lost: one that is missing was lost, or another transaction has
    its row. It waits for no row, so that two transactions never wait for each other.
    """
    with db.write(durable=False) as session:
        now = database_now(session)
        sent = tuple_(RUN.c.id, RUN.c.fence).in_([(beat.run_id, beat.fence) for beat in beats])
        query = (
            select(RUN.c.id, RUN.c.cancel_requested_at, RUN.c.worker)
            .where(sent, _IS_RUNNING)
            # As an UPDATE does: rows of metrics may be inserted meanwhile.
            .with_for_update(key_share=True, skip_locked=True)
        )
        rows = session.execute(query).all()
        held = {row.id for row in rows}
        renewed = [beat.values(now, lease_seconds) for beat in beats if beat.run_id in held]
        if renewed:
            session.execute(_RENEW, renewed)
        are_handed_back = _find_cordoned(session, [row.worker for row in rows])
        return {
            row.id: _answer(row.cancel_requested_at, are_handed_back[row.worker]) for row in rows
        }


def _find_cordoned(session: Session, workers: Sequence[str | None]) -> dict[str | None, bool]:
    """Whether the runs of each worker process are handed back; one query for each parent."""
    by_parent: dict[str, bool] = {}
    found = {}
    for worker in workers:
        parent = (worker or "").rpartition(":")[0]
        if parent not in by_parent:
            by_parent[parent] = bool(find_cordon(session, worker))
        found[worker] = by_parent[parent]
    return found


def _answer(cancel_requested_at: datetime | None, hand_back: bool) -> Heartbeat:
    return Heartbeat(
        alive=True, cancel_requested=cancel_requested_at is not None, hand_back=hand_back
    )
