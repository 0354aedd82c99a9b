"""Idempotency keys: a repeated request with the same key and body gets the first response."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from storage.access.ownership import owner_of
from storage.database.engine import database_now
from storage.database.tables import IdempotencyRow
from storage.errors import KeyTaken

KEEP = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The first response to a key."""

    experiment_id: str
    status_code: int
    same_body: bool


def find_response(session: Session, key: str, body_sha256: str) -> StoredResponse | None:
    """The response to this key, and whether its request had the same body; None for a new key."""
    row = session.get(IdempotencyRow, (owner_of(session), key))
    if row is None:
        return None
    return StoredResponse(row.experiment_id, row.status_code, row.body_sha256 == body_sha256)


def store_response(
    session: Session, key: str, body_sha256: str, experiment_id: str, status_code: int
) -> None:
    """Store the response in the transaction of the submission; deletes entries older than `KEEP`.

    Raises KeyTaken where another transaction has stored a response to this key meanwhile.
    """
    now = database_now(session)
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now - KEEP))
    session.add(
        IdempotencyRow(
            key=key,
            body_sha256=body_sha256,
            experiment_id=experiment_id,
            status_code=status_code,
            created_at=now,
        )
    )
    try:
        session.flush()
    except IntegrityError:
        raise KeyTaken(f"another request with the key {key[:80]!r} has just completed") from None
