"""Browser logins: a cookie holds a random token, the database its hash."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import delete, select
from sqlmodel import Session

from storage.access.keys import SECRET_BYTES, hash_secret, why_refused
from storage.access.ownership import viewer_of
from storage.database.engine import as_utc, database_now
from storage.database.tables import ApiKeyRow, LoginRow


def create_login(session: Session, key: ApiKeyRow, lifetime: timedelta) -> str:
    """Store a login and return its token; deletes expired logins."""
    now = database_now(session)
    session.execute(delete(LoginRow).where(LoginRow.expires_at <= now))
    token = secrets.token_urlsafe(SECRET_BYTES)
    session.add(
        LoginRow(
            sha256=hash_secret(token), key_id=key.id, created_at=now, expires_at=now + lifetime
        )
    )
    session.flush()
    return token


def find_login(session: Session, token: str) -> tuple[LoginRow, ApiKeyRow] | None:
    """The login and its key; None unless both are valid."""
    query = (
        select(LoginRow, ApiKeyRow)
        .join(ApiKeyRow, ApiKeyRow.id == LoginRow.key_id)
        .where(LoginRow.sha256 == hash_secret(token))
    )
    found = session.execute(query).first()
    if found is None or not _is_valid(session, found[0], found[1]):
        return None
    return found[0], found[1]


def delete_login(session: Session, token: str) -> ApiKeyRow | None:
    """Delete the login of this token; returns its key, or None for an unknown token."""
    login = session.get(LoginRow, hash_secret(token))
    if login is None:
        return None
    session.delete(login)
    return session.get_one(ApiKeyRow, login.key_id)


def are_credentials_valid(session: Session) -> bool:
    """Whether the key or login of the session's viewer is still valid."""
    viewer = viewer_of(session)
    if viewer is None or viewer.key_id is None:
        return True
    key = session.get_one(ApiKeyRow, viewer.key_id)
    if viewer.login is None:
        return why_refused(key, database_now(session)) is None
    login = session.get(LoginRow, viewer.login)
    return login is not None and _is_valid(session, login, key)


def _is_valid(session: Session, login: LoginRow, key: ApiKeyRow) -> bool:
    now = database_now(session)
    ends = as_utc(login.expires_at)
    return why_refused(key, now) is None and ends is not None and ends > now
