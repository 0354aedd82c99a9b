"""Webhooks and their deliveries: store, claim, and record the outcome of each attempt.

A delivery is stored in the transaction that ends the experiment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import and_, func, not_, or_, select, update
from sqlmodel import Session

from schemas.events import EventName
from schemas.resources import Experiment
from schemas.webhooks import (
    DeliveryState,
    EndedExperiment,
    Webhook,
    WebhookEvent,
    WebhookFormat,
    WebhookPayload,
)
from storage.database.engine import Database, database_now
from storage.database.ids import new_id
from storage.database.tables import DeliveryRow, ExperimentRow, WebhookRow
from storage.monitoring.counters import CounterName, increment
from storage.results.events import append_event

MAX_OF_OWNER = 8
"""Deliveries of an owner that one process sends at once"""
MAX_OF_RECEIVER = 4
"""And those of an owner to the same scheme, host and port"""
MAX_PENDING_OF_OWNER = 1_000
"""Deliveries of an owner that wait; of more, the oldest are given up"""
CANDIDATES = 200
"""Due deliveries that are read at once to choose from"""


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery that this process may send until its lease expires."""

    id: str
    experiment_id: str
    owner: str
    url: str
    secret: str | None = field(repr=False)
    """Null: the setting `webhook_secret`; for Slack no signature"""
    format: WebhookFormat
    body: str = field(repr=False)
    attempt: int
    """From 1; its outcome is stored only while there is no later attempt"""


def add_webhook(session: Session, experiment_id: str, webhook: Webhook) -> WebhookRow:
    """Store the webhook, or return the stored one with the same URL, secret and format."""
    url = str(webhook.url)
    secret = webhook.secret.get_secret_value() if webhook.secret is not None else None
    for known in list_webhooks(session, experiment_id):
        if (known.url, known.secret, known.format) == (url, secret, webhook.format):
            return known
    added = WebhookRow(
        id=new_id("whk"),
        experiment_id=experiment_id,
        url=url,
        secret=secret,
        format=webhook.format,
        created_at=database_now(session),
    )
    session.add(added)
    session.flush()
    return added


def list_webhooks(session: Session, experiment_id: str) -> list[WebhookRow]:
    """The webhooks of an experiment, oldest first."""
    query = (
        select(WebhookRow).where(WebhookRow.experiment_id == experiment_id).order_by(WebhookRow.id)
    )
    return list(session.scalars(query))


def add_deliveries(
    session: Session, webhooks: Sequence[WebhookRow], experiment: Experiment
) -> None:
    """Store a delivery to each webhook, due now; every attempt sends this, in its format."""
    data = EndedExperiment.model_validate(experiment.model_dump())
    delivery = WebhookPayload(
        type=WebhookEvent(f"experiment.{data.status}"), timestamp=data.finished_at, data=data
    ).model_dump_json()
    now = database_now(session)
    for webhook in webhooks:
        session.add(
            DeliveryRow(
                id=new_id("msg"), webhook_id=webhook.id, body=delivery, due_at=now, created_at=now
            )
        )
    session.flush()


def claim_deliveries(
    db: Database,
    *,
    limit: int,
    lease_seconds: float,
    in_flight: Collection[ClaimedDelivery] = (),
) -> list[ClaimedDelivery]:
    """Claim due deliveries, the longest due first.

    limit: together with those `in_flight` in this process. Of these, an owner has at most
    `MAX_OF_OWNER`, and an owner's receiver `MAX_OF_RECEIVER`, so that the others do not wait for
    one that does not respond.
    A delivery without an attempt is due, also where the clock was set back after it was stored. One
    whose sender dies becomes due again when the lease expires.
    """
    claimed: list[ClaimedDelivery] = []
    while True:
        shares = _Shares([*in_flight, *claimed], limit)
        with db.read() as session:
            candidates = session.execute(_due(session, shares)).all()
        chosen = [row.id for row in candidates if shares.take(row.owner, _origin(row.url))]
        if not chosen:
            return claimed
        claimed += _claim(db, chosen, lease_seconds)
        if len(candidates) < CANDIDATES:
            return claimed


class _Shares:
    """Counts the deliveries in flight."""

    def __init__(self, in_flight: Collection[ClaimedDelivery], limit: int) -> None:
        self._left = limit - len(in_flight)
        self._of_owner = Counter(one.owner for one in in_flight)
        self._of_receiver = Counter((one.owner, _origin(one.url)) for one in in_flight)

    def take(self, owner: str, origin: str) -> bool:
        """Count one more, if there is room for it."""
        if (
            self._left <= 0
            or self._of_owner[owner] >= MAX_OF_OWNER
            or self._of_receiver[owner, origin] >= MAX_OF_RECEIVER
        ):
            return False
        self._left -= 1
        self._of_owner[owner] += 1
        self._of_receiver[owner, origin] += 1
        return True

    def allowed(self) -> Any:
        """The condition of deliveries that may start now."""
        owners = [owner for owner, count in self._of_owner.items() if count >= MAX_OF_OWNER]
        receivers = [
            (ExperimentRow.owner == owner)
            & WebhookRow.url.startswith(f"{origin}/", autoescape=True)
            for (owner, origin), count in self._of_receiver.items()
            if count >= MAX_OF_RECEIVER
        ]
        return and_(ExperimentRow.owner.notin_(owners), *(not_(one) for one in receivers))


def _due(session: Session, shares: _Shares) -> Any:
    return (
        select(DeliveryRow.id, ExperimentRow.owner, WebhookRow.url)
        .join(WebhookRow, WebhookRow.id == DeliveryRow.webhook_id)
        .join(ExperimentRow, ExperimentRow.id == WebhookRow.experiment_id)
        .where(_is_due(session), shares.allowed())
        .order_by(DeliveryRow.due_at, DeliveryRow.id)
        .limit(CANDIDATES)
    )


def _is_due(session: Session) -> Any:
    return (DeliveryRow.state == DeliveryState.PENDING) & or_(
        DeliveryRow.due_at <= database_now(session), DeliveryRow.attempts == 0
    )


def _claim(db: Database, ids: Sequence[str], lease_seconds: float) -> list[ClaimedDelivery]:
    """Claim those that no other process has claimed meanwhile."""
    claimed = []
    with db.write() as session:
        query = (
            select(DeliveryRow.id, DeliveryRow.attempts)
            .where(DeliveryRow.id.in_(ids), _is_due(session))
            .order_by(DeliveryRow.due_at, DeliveryRow.id)
            .with_for_update(skip_locked=True)
        )
        lease_until = database_now(session) + timedelta(seconds=lease_seconds)
        for delivery_id, attempts in session.execute(query).all():
            updated = session.execute(
                update(DeliveryRow)
                .where(_pending(delivery_id, attempts))
                .values(attempts=attempts + 1, due_at=lease_until)
            )
            if updated.rowcount == 1:
                claimed.append(delivery_id)
        return [_read_delivery(session, delivery_id) for delivery_id in claimed]


def _read_delivery(session: Session, delivery_id: str) -> ClaimedDelivery:
    delivery = session.get_one(DeliveryRow, delivery_id)
    webhook = session.get_one(WebhookRow, delivery.webhook_id)
    return ClaimedDelivery(
        id=delivery.id,
        experiment_id=webhook.experiment_id,
        owner=session.get_one(ExperimentRow, webhook.experiment_id).owner,
        url=webhook.url,
        secret=webhook.secret,
        format=webhook.format,
        body=delivery.body,
        attempt=delivery.attempts,
    )


def note_delivered(db: Database, delivery: ClaimedDelivery, status_code: int) -> bool:
    """pending → delivered. False where another process has claimed the delivery since."""
    data = {"status_code": status_code}
    return _store_attempt(
        db, delivery, EventName.WEBHOOK_DELIVERED, data, state=DeliveryState.DELIVERED
    )


def note_failed(
    db: Database, delivery: ClaimedDelivery, detail: str, retry_seconds: float | None
) -> bool:
    """Due again after `retry_seconds`; None: pending → failed.

    False where another process has claimed the delivery since.
    """
    data = {"detail": detail, "retry_seconds": retry_seconds}
    if retry_seconds is None:
        return _store_attempt(
            db, delivery, EventName.WEBHOOK_FAILED, data, state=DeliveryState.FAILED
        )
    return _store_attempt(db, delivery, EventName.WEBHOOK_FAILED, data, due_in=retry_seconds)


def drop_excess(db: Database) -> None:
    """Give up the oldest deliveries of each owner of whom too many are pending."""
    pending = (
        select(ExperimentRow.owner, func.count())
        .select_from(DeliveryRow)
        .join(WebhookRow, WebhookRow.id == DeliveryRow.webhook_id)
        .join(ExperimentRow, ExperimentRow.id == WebhookRow.experiment_id)
        .where(DeliveryRow.state == DeliveryState.PENDING)
        .group_by(ExperimentRow.owner)
        .having(func.count() > MAX_PENDING_OF_OWNER)
    )
    with db.read() as session:
        dropped = [
            _read_delivery(session, delivery_id)
            for owner, number in session.execute(pending).all()
            for delivery_id in _oldest(session, owner, number - MAX_PENDING_OF_OWNER)
        ]
    detail = f"more than {MAX_PENDING_OF_OWNER:,} deliveries of yours were pending; this was older"
    for delivery in dropped:
        note_failed(db, delivery, detail, None)


def _oldest(session: Session, owner: str, number: int) -> list[str]:
    query = (
        select(DeliveryRow.id)
        .join(WebhookRow, WebhookRow.id == DeliveryRow.webhook_id)
        .join(ExperimentRow, ExperimentRow.id == WebhookRow.experiment_id)
        .where(DeliveryRow.state == DeliveryState.PENDING, ExperimentRow.owner == owner)
        .order_by(DeliveryRow.created_at, DeliveryRow.id)
        .limit(min(number, CANDIDATES))
    )
    return list(session.scalars(query))


def _store_attempt(
    db: Database,
    delivery: ClaimedDelivery,
    name: EventName,
    data: Mapping[str, Any],
    *,
    state: DeliveryState = DeliveryState.PENDING,
    due_in: float = 0.0,
) -> bool:
    with db.write() as session:
        # Lock the experiment before its deliveries, in the same order as its deletion does.
        session.execute(
            select(ExperimentRow.id)
            .where(ExperimentRow.id == delivery.experiment_id)
            .with_for_update()
        )
        updated = session.execute(
            update(DeliveryRow)
            .where(_pending(delivery.id, delivery.attempt))
            .values(state=state, due_at=database_now(session) + timedelta(seconds=due_in))
        )
        if updated.rowcount != 1:
            return False
        entry = {
            "id": delivery.id,
            "to": _origin(delivery.url),
            "attempt": delivery.attempt,
            **data,
        }
        append_event(session, delivery.experiment_id, name, entry)
        increment(
            session,
            CounterName.WEBHOOK_ATTEMPTS,
            "retried" if state is DeliveryState.PENDING else state,
        )
        return True


def _pending(delivery_id: str, attempts: int) -> Any:
    return (
        (DeliveryRow.id == delivery_id)
        & (DeliveryRow.attempts == attempts)
        & (DeliveryRow.state == DeliveryState.PENDING)
    )


def _origin(url: str) -> str:
    """The part of a URL that may be shown: path and query may hold a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
