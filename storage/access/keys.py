"""API keys: shown once, stored and found by their hash.

A row is never deleted, so that a service that has required keys once always does.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import Session

from schemas.access import Scope
from schemas.keys import Key
from storage.database.engine import as_utc, database_now
from storage.database.ids import new_id
from storage.database.tables import ApiKeyRow
from storage.errors import NotFound

SECRET_BYTES = 32
"""43 characters in base64; a random secret of this length needs no slow hash."""


def create_key(
    session: Session, *, owner: str, scopes: Collection[Scope], lifetime: timedelta | None
) -> tuple[ApiKeyRow, str]:
    """The row and the key itself, which is not stored. A `lifetime` of None never expires."""
    now = database_now(session)
    key_id = new_id("rrk")
    key = f"{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    row = ApiKeyRow(
        id=key_id,
        owner=owner,
        scopes=" ".join(scope for scope in Scope if scope in scopes),
        sha256=hash_secret(key),
        created_at=now,
        expires_at=None if lifetime is None else now + lifetime,
    )
    session.add(row)
    session.flush()
    return row, key


def hash_secret(secret: str) -> str:
    """The stored hash. Comparing hashes leaks nothing about the secret through timing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def has_keys(session: Session) -> bool:
    """Whether a key was ever created, revoked and expired ones included."""
    return session.scalars(select(ApiKeyRow.id).limit(1)).first() is not None


def find_key(session: Session, key: str) -> ApiKeyRow | None:
    """The row of a key in any state; see `why_refused`."""
    return session.scalars(select(ApiKeyRow).where(ApiKeyRow.sha256 == hash_secret(key))).first()


def why_refused(row: ApiKeyRow, now: datetime) -> str | None:
    """`revoked` or `expired`; None for a valid key."""
    if row.revoked_at is not None:
        return "revoked"
    ends = as_utc(row.expires_at)
    return "expired" if ends is not None and ends <= now else None


def scopes_of(row: ApiKeyRow) -> tuple[Scope, ...]:
    return tuple(Scope(name) for name in row.scopes.split())


def list_keys(session: Session) -> list[ApiKeyRow]:
    """Oldest first."""
    return list(session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.id)))


def revoke_key(session: Session, key_id: str) -> ApiKeyRow:
    """Revoke the key; a second call changes nothing. Raises NotFound."""
    row = session.get(ApiKeyRow, key_id)
    if row is None:
        raise NotFound(f"there is no key {key_id[:40]!r}; `richregime keys list` shows them")
    row.revoked_at = row.revoked_at or database_now(session)
    session.add(row)
    session.flush()
    return row


def to_resource(row: ApiKeyRow) -> Key:
    return Key(
        id=row.id,
        owner=row.owner,
        scopes=list(scopes_of(row)),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
