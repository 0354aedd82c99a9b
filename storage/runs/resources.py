"""Read runs and the queue, and convert them to the resources that the API returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session

from schemas.resources import Progress, QueueState, Run, RunPoint
from schemas.status import RunStatus
from storage.access.ownership import ALL_OWNERS
from storage.database.cursors import decode_cursor, encode_cursor
from storage.database.engine import as_utc, database_now
from storage.database.tables import ExperimentRow, PointRow, RunRow
from storage.errors import NotFound
from storage.runs.claim_order import list_next_runs
from storage.runs.placement import Needs
from storage.runs.waiting import why_waiting
from storage.runs.workers import count_absent, count_offered, slots_by_device_class


def get_run(session: Session, run_id: str) -> RunRow:
    """Raises NotFound."""
    row = session.get(RunRow, run_id)
    if row is None:
        raise NotFound(f"there is no run {run_id[:80]!r}")
    return row


def has_run(session: Session, run_id: str) -> bool:
    """Whether the session sees a run with this id."""
    return session.execute(select(RunRow.id).where(RunRow.id == run_id)).first() is not None


def list_runs(
    session: Session,
    experiment_id: str,
    *,
    limit: int,
    cursor: str | None = None,
    point: int | None = None,
) -> tuple[list[RunRow], str | None]:
    """One page, oldest first, and the cursor of the next page. Raises InvalidCursor.

    point: the index of a point; by default the runs of all points.
    """
    query = (
        select(RunRow)
        .where(RunRow.experiment_id == experiment_id)
        .order_by(RunRow.id)
        .limit(limit + 1)
    )
    if cursor is not None:
        query = query.where(RunRow.id > decode_cursor(cursor, str)[0])
    if point is not None:
        query = query.join(PointRow, RunRow.point_id == PointRow.id).where(PointRow.index == point)
    rows = list(session.scalars(query))
    return rows[:limit], encode_cursor(rows[limit - 1].id) if len(rows) > limit else None


def list_active_runs(session: Session, *, limit: int) -> list[RunRow]:
    """Running runs, then queued ones in the order of `list_next_runs`."""
    query = (
        select(RunRow).where(RunRow.status == RunStatus.RUNNING).order_by(RunRow.id).limit(limit)
    )
    running = list(session.scalars(query))
    first = list_next_runs(session, limit - len(running))
    waiting = {row.id: row for row in session.scalars(select(RunRow).where(RunRow.id.in_(first)))}
    return [*running, *(waiting[run_id] for run_id in first if run_id in waiting)]


def run_resources(session: Session, rows: Sequence[RunRow]) -> list[Run]:
    """Runs as resources, in a fixed number of queries."""
    ids = {row.point_id for row in rows}
    points = {
        point.id: point for point in session.scalars(select(PointRow).where(PointRow.id.in_(ids)))
    }
    return [_assemble(row, points[row.point_id]) for row in rows]


def _assemble(row: RunRow, point: PointRow) -> Run:
    fraction = row.progress_completed / row.progress_total if row.progress_total else 0.0
    if row.status is RunStatus.SUCCEEDED:
        fraction = 1.0
    elapsed, eta = (row.elapsed_seconds if row.started_at else None), None
    if row.status is RunStatus.RUNNING and elapsed is not None and fraction > 0.01:
        eta = elapsed * (1 - fraction) / fraction
    base = f"/runs/{row.id}"
    return Run(
        id=row.id,
        experiment_id=row.experiment_id,
        point=RunPoint(index=point.index, values=point.readable("values")),
        seeds=row.readable("seeds"),
        status=row.status,
        terminal=row.status.is_terminal,
        attempts=row.attempts,
        interruptions=row.interruptions,
        reason=row.error_code,
        detail=row.error_detail,
        device=row.device,
        worker=row.worker,
        progress=Progress(
            fraction=fraction,
            completed=row.progress_completed,
            total=row.progress_total,
            unit=row.progress_unit,
            eta_seconds=eta,
        ),
        cancel_requested=row.cancel_requested_at is not None,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        elapsed_seconds=elapsed,
        manifest=row.readable("manifest"),
        unreadable=[*row.unreadable, *(["point"] if "values" in point.unreadable else [])],
        links={
            "self": base,
            **{name: f"{base}/{name}" for name in ("metrics", "checkpoints", "artifacts")},
        },
    )


def queue_state(session: Session) -> QueueState:
    """Counts of queued and running runs of all owners, and of listening slots."""

    def execute(query: Any) -> Any:
        return session.execute(query, execution_options=ALL_OWNERS)

    counts: dict[RunStatus, int] = dict(
        execute(select(RunRow.status, func.count()).group_by(RunRow.status)).all()
    )
    by_kind = execute(
        select(ExperimentRow.kind, func.count())
        .join(RunRow, RunRow.experiment_id == ExperimentRow.id)
        .where(RunRow.status == RunStatus.QUEUED)
        .group_by(ExperimentRow.kind)
    ).all()
    oldest = as_utc(
        execute(
            select(func.min(RunRow.created_at)).where(RunRow.status == RunStatus.QUEUED)
        ).scalar_one()
    )
    offered = count_offered(session)
    return QueueState(
        queued=counts.get(RunStatus.QUEUED, 0),
        running=counts.get(RunStatus.RUNNING, 0),
        by_kind=dict(by_kind),
        workers_listening=sum(slots_by_device_class(offered).values()),
        reason=why_waiting(_count_needs(session), offered, count_absent(session)),
        oldest_queued_seconds=max(0.0, (database_now(session) - oldest).total_seconds())
        if oldest
        else None,
    )


def _count_needs(session: Session) -> dict[Needs, int]:
    """The number of queued runs that the session sees by their needs."""
    needs = (RunRow.device_class, RunRow.memory_bytes, RunRow.requires)
    query = select(*needs, func.count()).where(RunRow.status == RunStatus.QUEUED).group_by(*needs)
    return {Needs(*needed): number for *needed, number in session.execute(query)}
