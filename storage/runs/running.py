"""Running runs as the parent of their worker reads them, and when a run counts as stalled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from schemas.status import RunStatus
from storage.database.engine import Database
from storage.database.tables import ExperimentRow, RunRow

STALLED_SECONDS = 600.0
STALLED_STEPS = 20
"""A run has stalled when it has shown no activity for `STALLED_SECONDS` and for the time of
`STALLED_STEPS` of its steps."""


@dataclass(frozen=True, slots=True)
class RunningRun:
    """A running run as its worker's last heartbeats describe it."""

    run_id: str
    fence: int
    worker: str
    max_seconds: int | None
    elapsed_seconds: float
    """Computing time of all attempts"""
    progress_at: datetime | None
    """When it was last active, by the database's clock; it changes with each activity"""
    step_seconds: float
    """The median time of a step; 0 while unknown"""
    is_cancel_requested: bool


def is_stalled(silent_seconds: float, step_seconds: float) -> bool:
    """Whether a run without activity for so long has stalled. step_seconds: its median step."""
    return silent_seconds > max(STALLED_SECONDS, STALLED_STEPS * step_seconds)


def workers_with_runs(db: Database, prefix: str) -> list[str]:
    """The workers of running runs whose name starts with `prefix`."""
    with db.read() as session:
        query = (
            select(RunRow.worker)
            .where(
                RunRow.status == RunStatus.RUNNING,
                RunRow.worker.startswith(prefix, autoescape=True),
            )
            .distinct()
        )
        return list(session.scalars(query))


def list_running(db: Database, prefix: str) -> list[RunningRun]:
    """The running runs, by id, of the workers whose name starts with `prefix`."""
    with db.read() as session:
        query = (
            select(
                *(RunRow.id, RunRow.fence, RunRow.worker),
                *(RunRow.elapsed_seconds, RunRow.progress_at, RunRow.step_seconds),
                RunRow.cancel_requested_at,
                ExperimentRow.max_seconds,
            )
            .join(ExperimentRow, ExperimentRow.id == RunRow.experiment_id)
            .where(
                RunRow.status == RunStatus.RUNNING,
                RunRow.worker.startswith(prefix, autoescape=True),
            )
            .order_by(RunRow.id)
        )
        return [
            RunningRun(
                run_id=row.id,
                fence=row.fence,
                worker=row.worker,
                max_seconds=row.max_seconds,
                elapsed_seconds=row.elapsed_seconds,
                progress_at=row.progress_at,
                step_seconds=row.step_seconds,
                is_cancel_requested=row.cancel_requested_at is not None,
            )
            for row in session.execute(query)
        ]
