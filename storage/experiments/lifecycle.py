"""Experiments: found, listed, changed, cancelled, deleted, summarised; their status follows from their runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import case, delete, func, or_, select, update
from sqlmodel import Session

from schemas.events import EventName
from schemas.resources import Deletion, ExperimentUpdate
from schemas.status import ExperimentStatus, RunStatus, derive_experiment_status
from schemas.webhooks import Webhook
from storage.access.ownership import EVERYONES
from storage.database.cursors import decode_cursor, encode_cursor
from storage.database.engine import database_now
from storage.database.tables import ArtifactRow, ExperimentRow, RunRow
from storage.delivery.webhooks import add_deliveries, add_webhook, list_webhooks
from storage.errors import InvalidTransition, NotFound
from storage.experiments.resources import to_resource
from storage.files.resume_state import drop_resume_state
from storage.results.events import append_event
from storage.runs.claim_order import PRIORITY_STEP_SECONDS


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


def refresh_status(session: Session, experiment_id: str) -> ExperimentStatus:
    """Derive the status from the runs; called in the transaction of every move of a run.

    The move that ends the last run writes `experiment.finished` and files the deliveries to webhooks, once.
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
        add_deliveries(session, webhooks, to_resource(session, row))


def attach_webhook(session: Session, experiment_id: str, webhook: Webhook) -> None:
    """Tell the webhook when the experiment ends; at once where it has ended already.

    The row is locked: whoever ends the experiment meanwhile comes before us, or sees the webhook. Raises NotFound.
    """
    locked = session.get(ExperimentRow, experiment_id, populate_existing=True, with_for_update=True)
    if locked is None:
        raise NotFound(f"there is no experiment {experiment_id[:80]!r}")
    added = add_webhook(session, experiment_id, webhook)
    if locked.status.is_terminal:
        add_deliveries(session, [added], to_resource(session, locked))


def update_experiment(
    session: Session, experiment_id: str, change: ExperimentUpdate
) -> ExperimentRow:
    """Change what the body names. Raises NotFound."""
    row = get_experiment(session, experiment_id)
    if (
        change.priority is not None
    ):  # before the experiment, as in every move: the order in which rows are locked
        session.execute(
            update(RunRow)
            .where(RunRow.experiment_id == experiment_id, RunRow.status == RunStatus.QUEUED)
            .values(
                priority=change.priority,
                rank=RunRow.rank + (RunRow.priority - change.priority) * PRIORITY_STEP_SECONDS,
            )
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
        append_event(
            session, experiment_id, EventName.EXPERIMENT_CANCEL_REQUESTED, {"runs": len(asked)}
        )
    for run in asked:
        run.cancel_requested_at = now
        if run.status is RunStatus.QUEUED:
            run.status, run.finished_at = RunStatus.CANCELLED, now
            drop_resume_state(session, run.id)
            append_event(session, experiment_id, EventName.RUN_CANCELLED, {}, run.id)
        session.add(run)
    refresh_status(session, experiment_id)
    return row


def delete_experiment(
    session: Session, experiment_id: str, *, dry_run: bool
) -> tuple[Deletion, list[str]]:
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
