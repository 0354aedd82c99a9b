"""Webhooks and the notices to them: filed with the move that ends an experiment, claimed, told of in its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select, update
from sqlmodel import Session

from schemas.events import EventName
from schemas.resources import Experiment
from schemas.webhooks import EndedExperiment, Notice, NoticeState, NoticeType, Webhook
from storage.database.engine import Database, database_now
from storage.database.ids import new_id
from storage.database.tables import ExperimentRow, NoticeRow, WebhookRow
from storage.monitoring.counters import Count, count
from storage.results.events import append_event


@dataclass(frozen=True, slots=True)
class ClaimedNotice:
    """A notice that is ours to send, until its lease is over."""

    id: str
    experiment_id: str
    url: str
    secret: str | None = field(repr=False)
    """Null: the service's own"""
    body: str = field(repr=False)
    attempt: int
    """From 1; what is written of it is written only while there is no later one."""


def add_webhook(session: Session, experiment_id: str, webhook: Webhook) -> WebhookRow:
    """Store it; the one that is there where it is the same."""
    url = str(webhook.url)
    secret = webhook.secret.get_secret_value() if webhook.secret is not None else None
    for known in list_webhooks(session, experiment_id):
        if (known.url, known.secret) == (url, secret):
            return known
    added = WebhookRow(
        id=new_id("whk"),
        experiment_id=experiment_id,
        url=url,
        secret=secret,
        created_at=database_now(session),
    )
    session.add(added)
    session.flush()
    return added


def list_webhooks(session: Session, experiment_id: str) -> list[WebhookRow]:
    """Those of an experiment, oldest first."""
    query = (
        select(WebhookRow).where(WebhookRow.experiment_id == experiment_id).order_by(WebhookRow.id)
    )
    return list(session.scalars(query))


def file_notices(session: Session, webhooks: Sequence[WebhookRow], experiment: Experiment) -> None:
    """A notice to each, due now; what each says is fixed here, however often it is sent."""
    data = EndedExperiment.model_validate(experiment.model_dump())
    notice = Notice(
        type=NoticeType(f"experiment.{data.status}"), timestamp=data.finished_at, data=data
    ).model_dump_json()
    now = database_now(session)
    for webhook in webhooks:
        session.add(
            NoticeRow(
                id=new_id("msg"), webhook_id=webhook.id, body=notice, due_at=now, created_at=now
            )
        )
    session.flush()


def claim_notices(db: Database, *, limit: int, lease_seconds: float) -> list[ClaimedNotice]:
    """Claim what is due, the longest due first. A notice whose sender dies is due again when its lease is over."""

    def due(session: Session) -> Any:
        return (
            select(NoticeRow.id, NoticeRow.attempts)
            .where(
                NoticeRow.state == NoticeState.PENDING, NoticeRow.due_at <= database_now(session)
            )
            .order_by(NoticeRow.due_at, NoticeRow.id)
            .limit(limit)
        )

    with db.read() as session:
        if session.execute(due(session)).first() is None:
            return []
    claimed = []
    with db.write() as session:
        query = due(session) if db.is_sqlite else due(session).with_for_update(skip_locked=True)
        lease_until = database_now(session) + timedelta(seconds=lease_seconds)
        for notice_id, attempts in session.execute(query).all():
            moved = session.execute(
                update(NoticeRow)
                .where(_pending(notice_id, attempts))
                .values(attempts=attempts + 1, due_at=lease_until)
            )
            if moved.rowcount == 1:
                claimed.append(notice_id)
        return [_read_notice(session, notice_id) for notice_id in claimed]


def _read_notice(session: Session, notice_id: str) -> ClaimedNotice:
    notice = session.get_one(NoticeRow, notice_id)
    webhook = session.get_one(WebhookRow, notice.webhook_id)
    return ClaimedNotice(
        id=notice.id,
        experiment_id=webhook.experiment_id,
        url=webhook.url,
        secret=webhook.secret,
        body=notice.body,
        attempt=notice.attempts,
    )


def note_delivered(db: Database, notice: ClaimedNotice, status_code: int) -> bool:
    """pending → delivered; False where another has claimed it since."""
    data = {"status_code": status_code}
    return _note(db, notice, EventName.WEBHOOK_DELIVERED, data, state=NoticeState.DELIVERED)


def note_failed(
    db: Database, notice: ClaimedNotice, detail: str, retry_seconds: float | None
) -> bool:
    """Due again after so long, or pending → failed; False where another has claimed it since."""
    data = {"detail": detail, "retry_seconds": retry_seconds}
    if retry_seconds is None:
        return _note(db, notice, EventName.WEBHOOK_FAILED, data, state=NoticeState.FAILED)
    return _note(db, notice, EventName.WEBHOOK_FAILED, data, due_in=retry_seconds)


def _note(
    db: Database,
    notice: ClaimedNotice,
    name: EventName,
    data: Mapping[str, Any],
    *,
    state: NoticeState = NoticeState.PENDING,
    due_in: float = 0.0,
) -> bool:
    with db.write() as session:
        # The experiment before its notices, as where it is deleted: the order in which rows are locked.
        session.execute(
            select(ExperimentRow.id)
            .where(ExperimentRow.id == notice.experiment_id)
            .with_for_update()
        )
        moved = session.execute(
            update(NoticeRow)
            .where(_pending(notice.id, notice.attempt))
            .values(state=state, due_at=database_now(session) + timedelta(seconds=due_in))
        )
        if moved.rowcount != 1:
            return False
        told = {"id": notice.id, "to": _origin(notice.url), "attempt": notice.attempt, **data}
        append_event(session, notice.experiment_id, name, told)
        count(session, Count.WEBHOOK_ATTEMPTS, "retried" if state is NoticeState.PENDING else state)
        return True


def _pending(notice_id: str, attempts: int) -> Any:
    return (
        (NoticeRow.id == notice_id)
        & (NoticeRow.attempts == attempts)
        & (NoticeRow.state == NoticeState.PENDING)
    )


def _origin(url: str) -> str:
    """What of an address may be told: path and query may hold a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
