"""Experiments: submitted whole in one transaction, listed, changed, cancelled, deleted, summarised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import and_, case, delete, func, or_, select, update
from sqlmodel import Session

from engine.errors import InvalidSpec
from engine.experiments.registry import get_kind, parse_spec
from engine.kind import FinishedPoint
from engine.result import SeedResult
from engine.spec import Execution, ExperimentSpec
from schemas.events import EventName
from schemas.resources import Deletion, Experiment, ExperimentUpdate, Progress, QueuePosition
from schemas.status import ExperimentStatus, RunStatus, derive_experiment_status
from schemas.submission import Keep, Submission
from schemas.webhooks import Webhook
from storage.db import as_utc, database_now
from storage.errors import InvalidTransition, NotFound
from storage.events import append_event
from storage.ids import new_id
from storage.ownership import EVERYONES
from storage.paging import decode_cursor, encode_cursor
from storage.resume_state import drop_resume_state
from storage.tables import ArtifactRow, ExperimentRow, PointRow, RunRow
from storage.webhooks import add_webhook, file_notices, list_webhooks
from storage.workers import count_listening


@dataclass(frozen=True, slots=True)
class PlannedPoint:
    index: int
    values: Mapping[str, Any]
    spec: Mapping[str, Any]
    digest: str


@dataclass(frozen=True, slots=True)
class PlannedRun:
    point_index: int
    seeds: tuple[int, ...]
    queue: str
    """`cpu`, `gpu` or `any`"""


def create_experiment(
    session: Session,
    *,
    submission: Submission,
    spec: Mapping[str, Any],
    digest: str,
    points: Sequence[PlannedPoint],
    runs: Sequence[PlannedRun],
) -> ExperimentRow:
    """Store a submission whole: experiment, points, queued runs and their events."""
    now = database_now(session)
    row = ExperimentRow(
        id=new_id("exp"),
        kind=str(spec["kind"]),
        name=submission.name,
        labels=submission.labels,
        priority=submission.priority,
        spec=dict(spec),
        sweep=submission.sweep,
        seeds=list(submission.seeds),
        execution=submission.execution.model_dump(mode="json"),
        max_seconds=submission.max_seconds,
        keep=submission.keep,
        reuse=submission.reuse,
        digest=digest,
        num_points=len(points),
        created_at=now,
    )
    session.add(row)
    session.flush()
    point_ids = add_points(session, row.id, points)
    append_event(session, row.id, EventName.EXPERIMENT_SUBMITTED, {"points": len(points), "runs": len(runs)})
    session.flush()
    add_runs(session, row, point_ids, runs, now)
    session.flush()
    return row


def add_points(session: Session, experiment_id: str, points: Sequence[PlannedPoint]) -> dict[int, str]:
    """Store points; returns their ids by index."""
    ids = {}
    for point in points:
        ids[point.index] = new_id("pt")
        session.add(
            PointRow(
                id=ids[point.index],
                experiment_id=experiment_id,
                index=point.index,
                values=dict(point.values),
                spec=dict(point.spec),
                digest=point.digest,
            )
        )
    session.flush()
    return ids


def add_runs(
    session: Session,
    row: ExperimentRow,
    point_ids: Mapping[int, str],
    runs: Sequence[PlannedRun],
    now: datetime,
) -> list[tuple[str, str]]:
    """Store queued runs; returns their (id, queue), for which a bell is to be rung."""
    made = []
    for run in runs:
        run_id = new_id("run")
        session.add(
            RunRow(
                id=run_id,
                experiment_id=row.id,
                point_id=point_ids[run.point_index],
                seeds=list(run.seeds),
                queue=run.queue,
                priority=row.priority,
                created_at=now,
            )
        )
        made.append((run_id, run.queue))
    return made


def get_experiment(session: Session, experiment_id: str) -> ExperimentRow:
    """Raises NotFound."""
    row = session.get(ExperimentRow, experiment_id)
    if row is None:
        raise NotFound(f"there is no experiment {experiment_id[:80]!r}")
    return row


def require_own(row: ExperimentRow) -> None:
    """Raises InvalidTransition where the experiment was computed elsewhere."""
    if row.imported_from is not None:
        raise InvalidTransition(
            f"the experiment was imported ({row.imported_from} where it was computed) and is read-only; "
            "submit its body to compute it here"
        )


def list_experiments(
    session: Session,
    *,
    limit: int,
    cursor: str | None = None,
    kind: str | None = None,
    status: ExperimentStatus | None = None,
    label: tuple[str, str | None] | None = None,
    name: str | None = None,
    containing: str | None = None,
) -> tuple[list[ExperimentRow], str | None]:
    """Newest first, and the cursor of the next page. `containing`: text that the name or the id holds, whatever its
    case. Raises InvalidCursor."""
    query = select(ExperimentRow).order_by(ExperimentRow.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(ExperimentRow.id < decode_cursor(cursor, str)[0])
    if kind is not None:
        query = query.where(ExperimentRow.kind == kind)
    if status is not None:
        query = query.where(ExperimentRow.status == status)
    if name is not None:
        query = query.where(ExperimentRow.name == name)
    if containing is not None:
        query = query.where(
            or_(
                ExperimentRow.name.icontains(containing, autoescape=True),
                ExperimentRow.id.icontains(containing, autoescape=True),
            )
        )
    if label is not None:
        key, value = label
        stored = _label(session, key)
        query = query.where(stored.is_not(None) if value is None else stored == value)
    rows = list(session.scalars(query))
    more = len(rows) > limit
    return rows[:limit], encode_cursor(rows[limit - 1].id) if more else None


def _label(session: Session, key: str) -> Any:
    """The value of a label in SQL; none where the labels cannot be read, which SQLite would refuse the query for."""
    value = ExperimentRow.labels[key].as_string()
    if session.get_bind().dialect.name == "sqlite":
        return case((func.json_valid(ExperimentRow.labels), value))
    return value


def to_resource(session: Session, row: ExperimentRow, *, reused: bool = False) -> Experiment:
    """One experiment as the API answers it."""
    return to_resources(session, [row], reused=reused)[0]


def to_resources(
    session: Session, rows: Sequence[ExperimentRow], *, reused: bool = False
) -> list[Experiment]:
    """Experiments as the API answers them, in a fixed number of queries."""
    ids = [row.id for row in rows]
    tallies: dict[str, list[Any]] = {experiment_id: [] for experiment_id in ids}
    query = (
        select(
            RunRow.experiment_id,
            RunRow.status,
            func.count(),
            func.sum(RunRow.progress_completed),
            func.sum(RunRow.progress_total),
            func.max(RunRow.progress_unit),
        )
        .where(RunRow.experiment_id.in_(ids))
        .group_by(RunRow.experiment_id, RunRow.status)
    )
    for entry in session.execute(query):
        tallies[entry[0]].append(entry[1:])
    failures = _first_failures(session, [row.id for row in rows if row.status is ExperimentStatus.FAILED])
    waiting = any(row.status is ExperimentStatus.QUEUED for row in rows)
    listening = count_listening(session)
    now = database_now(session)
    return [
        _assemble(
            row,
            tallies[row.id],
            failures.get(row.id),
            QueuePosition(
                runs_ahead=_count_ahead(session, row)
                if waiting and row.status is ExperimentStatus.QUEUED
                else 0,
                workers_listening=sum(listening.values()),
            ),
            now,
            reused,
        )
        for row in rows
    ]


def _assemble(
    row: ExperimentRow,
    tally: Sequence[Any],
    failure: RunRow | None,
    queue: QueuePosition,
    now: datetime,
    reused: bool,
) -> Experiment:
    counts = dict.fromkeys(RunStatus, 0)
    fractions, completed, total, unit = 0.0, 0.0, 0.0, ""
    for status, count, done, of, its_unit in tally:
        counts[status] = count
        fractions += count if status is RunStatus.SUCCEEDED else (count * done / of if of else 0.0)
        completed, total, unit = completed + done, total + of, its_unit or unit
    num_runs = sum(counts.values())
    terminal = row.status.is_terminal
    fraction = min(1.0, fractions / num_runs) if num_runs else 0.0
    started = as_utc(row.started_at)
    eta = None
    if started is not None and not terminal and fraction > 0.01:
        eta = (now - started).total_seconds() * (1 - fraction) / fraction
    base = f"/experiments/{row.id}"
    return Experiment(
        id=row.id,
        owner=row.owner or None,
        kind=row.kind,
        name=row.name,
        labels=row.readable("labels"),
        priority=row.priority,
        status=row.status,
        terminal=terminal,
        reason=failure.error_code if failure else None,
        detail=failure.error_detail if failure else None,
        progress=Progress(fraction=fraction, completed=completed, total=total, unit=unit, eta_seconds=eta),
        queue=queue,
        counts=counts,
        num_points=row.num_points,
        seeds=row.readable("seeds"),
        sweep=row.readable("sweep"),
        spec=row.readable("spec"),
        execution=Execution.model_validate(row.readable("execution")),
        max_seconds=row.max_seconds,
        keep=Keep(row.keep),
        digest=row.digest,
        reused=reused,
        imported_from=row.imported_from,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        unreadable=row.unreadable,
        links={
            "self": base,
            **{
                name: f"{base}/{name}"
                for name in ("runs", "events", "metrics", "result", "comparison", "plots", "export", "cancel")
            },
        },
    )


def _first_failures(session: Session, ids: Sequence[str]) -> dict[str, RunRow]:
    query = (
        select(RunRow)
        .where(RunRow.experiment_id.in_(ids), RunRow.status == RunStatus.FAILED)
        .order_by(RunRow.finished_at.desc(), RunRow.id.desc())
    )
    return {row.experiment_id: row for row in session.scalars(query)} if ids else {}


def _count_ahead(session: Session, row: ExperimentRow) -> int:
    """Queued runs that will be claimed before this experiment's."""
    query = select(func.count()).where(
        RunRow.status == RunStatus.QUEUED,
        or_(
            RunRow.priority > row.priority,
            and_(RunRow.priority == row.priority, RunRow.created_at < row.created_at),
        ),
    )
    return int(session.execute(query, execution_options=EVERYONES).scalar_one())


def refresh_status(session: Session, experiment_id: str) -> ExperimentStatus:
    """Derive the status from the runs; called in the transaction of every move of a run.

    The move that ends the last run writes `experiment.finished` and files the notices to webhooks, once.
    """
    session.flush()
    query = (
        select(RunRow.status, func.count())
        .where(RunRow.experiment_id == experiment_id)
        .group_by(RunRow.status)
    )
    status = derive_experiment_status(dict(session.execute(query).all()))
    times = select(ExperimentRow.started_at, ExperimentRow.finished_at).where(
        ExperimentRow.id == experiment_id
    )
    started_at, finished_at = session.execute(times).one()
    values: dict[str, Any] = {"status": status}
    has_ended = status.is_terminal and finished_at is None
    if status is not ExperimentStatus.QUEUED and started_at is None:
        values["started_at"] = database_now(session)
    if has_ended:
        values["finished_at"] = database_now(session)
        append_event(session, experiment_id, EventName.EXPERIMENT_FINISHED, {"status": status})
    session.execute(update(ExperimentRow).where(ExperimentRow.id == experiment_id).values(**values))
    if has_ended:
        _tell_webhooks(session, experiment_id)
    return status


def _tell_webhooks(session: Session, experiment_id: str) -> None:
    webhooks = list_webhooks(session, experiment_id)
    if webhooks:
        row = session.get_one(ExperimentRow, experiment_id, populate_existing=True)
        file_notices(session, webhooks, to_resource(session, row))


def attach_webhook(session: Session, experiment_id: str, webhook: Webhook) -> None:
    """Tell the webhook when the experiment ends; at once where it has ended already.

    The row is locked: whoever ends the experiment meanwhile comes before us, or sees the webhook. Raises NotFound.
    """
    locked = session.get(ExperimentRow, experiment_id, populate_existing=True, with_for_update=True)
    if locked is None:
        raise NotFound(f"there is no experiment {experiment_id[:80]!r}")
    added = add_webhook(session, experiment_id, webhook)
    if locked.status.is_terminal:
        file_notices(session, [added], to_resource(session, locked))


def update_experiment(session: Session, experiment_id: str, change: ExperimentUpdate) -> ExperimentRow:
    """Change what the body names. Raises NotFound."""
    row = get_experiment(session, experiment_id)
    if (
        change.priority is not None
    ):  # before the experiment, as in every move: the order in which rows are locked
        session.execute(
            update(RunRow)
            .where(RunRow.experiment_id == experiment_id, RunRow.status == RunStatus.QUEUED)
            .values(priority=change.priority)
        )
    for name in change.model_fields_set:
        value = getattr(change, name)
        if value is not None or name == "name":
            setattr(row, name, value)
    session.add(row)
    session.flush()
    return row


def cancel_experiment(session: Session, experiment_id: str) -> ExperimentRow:
    """Queued runs are cancelled at once, running ones asked to stop. Again: no change. Raises NotFound, and
    InvalidTransition where the experiment has already succeeded or failed."""
    row = get_experiment(session, experiment_id)
    if row.status is ExperimentStatus.CANCELLED:
        return row
    if row.status.is_terminal:
        raise InvalidTransition(
            f"the experiment has already {row.status}; only one that is under way can be cancelled"
        )
    now = database_now(session)
    query = (
        select(RunRow)
        .where(
            RunRow.experiment_id == experiment_id,
            RunRow.status.in_((RunStatus.QUEUED, RunStatus.RUNNING)),
            RunRow.cancel_requested_at.is_(None),
        )
        .order_by(RunRow.id)
    )
    asked = list(session.scalars(query.with_for_update()))
    if asked:
        append_event(session, experiment_id, EventName.EXPERIMENT_CANCEL_REQUESTED, {"runs": len(asked)})
    for run in asked:
        run.cancel_requested_at = now
        if run.status is RunStatus.QUEUED:
            run.status, run.finished_at = RunStatus.CANCELLED, now
            drop_resume_state(session, run.id)
            append_event(session, experiment_id, EventName.RUN_CANCELLED, {}, run.id)
        session.add(run)
    refresh_status(session, experiment_id)
    return row


def delete_experiment(session: Session, experiment_id: str, *, dry_run: bool) -> tuple[Deletion, list[str]]:
    """Delete a terminal experiment with all its rows: what it did, and the digests of files nothing refers to now.

    Raises NotFound, and InvalidTransition where it is still under way.
    """
    row = get_experiment(session, experiment_id)
    if not row.status.is_terminal:
        raise InvalidTransition(f"the experiment is {row.status}; cancel it before deleting it")
    run_ids = list(session.scalars(select(RunRow.id).where(RunRow.experiment_id == experiment_id)))
    artifacts = list(session.scalars(select(ArtifactRow).where(ArtifactRow.run_id.in_(run_ids))))
    mine = {artifact.sha256: artifact.num_bytes for artifact in artifacts}
    query = select(ArtifactRow.sha256).where(
        ArtifactRow.sha256.in_(list(mine)),
        ArtifactRow.run_id.not_in(run_ids),
    )
    shared = set(session.scalars(query, execution_options=EVERYONES))
    freed = {sha256: size for sha256, size in mine.items() if sha256 not in shared}
    if not dry_run:
        session.execute(delete(ExperimentRow).where(ExperimentRow.id == experiment_id))
    told = Deletion(
        id=experiment_id,
        deleted=not dry_run,
        dry_run=dry_run,
        bytes=sum(freed.values()),
        runs=len(run_ids),
        artifacts=len(artifacts),
    )
    return told, [] if dry_run else list(freed)


def find_reusable(session: Session, digest: str) -> ExperimentRow | None:
    """The newest identical experiment that has succeeded or is under way; None where its row is damaged."""
    query = (
        select(ExperimentRow)
        .where(
            ExperimentRow.digest == digest,
            ExperimentRow.imported_from.is_(None),
            ExperimentRow.status.in_(
                (ExperimentStatus.SUCCEEDED, ExperimentStatus.QUEUED, ExperimentStatus.RUNNING)
            ),
        )
        .order_by(ExperimentRow.id.desc())
        .limit(1)
    )
    row = session.scalars(query).first()
    return None if row is None or row.unreadable else row


def finished_points(session: Session, experiment_id: str) -> list[FinishedPoint]:
    """Every point with the sheets of its finished seeds, by point and seed. Raises NotFound and UnreadableRow."""
    row = get_experiment(session, experiment_id)
    sheet = get_kind(row.kind).seed_result
    results: dict[str, list[Any]] = {}
    query = select(RunRow).where(RunRow.experiment_id == experiment_id, RunRow.status == RunStatus.SUCCEEDED)
    for run in session.scalars(query):
        results.setdefault(run.point_id, []).extend(_read_sheets(run, sheet))
    points = session.scalars(
        select(PointRow).where(PointRow.experiment_id == experiment_id).order_by(PointRow.index)
    )
    return [
        FinishedPoint(
            point.index,
            point.values,
            _read_spec(point),
            sorted(results.get(point.id, []), key=lambda result: row.seeds.index(result.seed)),
        )
        for point in points
    ]


def _read_sheets(run: RunRow, sheet: type[SeedResult]) -> list[SeedResult]:
    try:
        return [sheet.model_validate(entry) for entry in run.result or ()]
    except ValidationError as error:
        raise run.unreadable_error("result") from error


def _read_spec(point: PointRow) -> ExperimentSpec:
    try:
        return parse_spec(point.spec)
    except InvalidSpec as error:
        raise point.unreadable_error("spec") from error


def point_values(session: Session, experiment_id: str) -> list[dict[str, Any]]:
    """The swept fields and their values of every point, in their order; none where they cannot be read."""
    query = select(PointRow).where(PointRow.experiment_id == experiment_id).order_by(PointRow.index)
    return [point.readable("values") for point in session.scalars(query)]


def store_summary(session: Session, experiment_id: str, summary: Mapping[str, Any]) -> bool:
    """Store the summary of a terminal experiment, once; False where it is there already."""
    stored = session.execute(
        update(ExperimentRow)
        .where(
            ExperimentRow.id == experiment_id,
            ExperimentRow.finished_at.is_not(None),
            ExperimentRow.summary.is_(None),
        )
        .values(summary=dict(summary))
    )
    return bool(stored.rowcount)


def experiments_without_summary(session: Session, limit: int = 50, after: str = "") -> list[str]:
    """Terminal experiments whose summary is still to be made, by id, behind `after`."""
    query = (
        select(ExperimentRow.id)
        .where(
            ExperimentRow.finished_at.is_not(None),
            ExperimentRow.summary.is_(None),
            ExperimentRow.id > after,
        )
        .order_by(ExperimentRow.id)
        .limit(limit)
    )
    return list(session.scalars(query))
