"""The audit trail: one entry for every write, in the same transaction.

Entries have no foreign keys, so that they outlive the rows that they describe.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, insert, select
from sqlmodel import Session

from runtime.logs import hide_secrets
from schemas.audit import Action, AuditEntry
from storage.access.ownership import NOBODY, viewer_of
from storage.database.cursors import decode_cursor, encode_cursor
from storage.database.engine import Database, database_now
from storage.database.ids import new_id
from storage.database.tables import ApiKeyRow, AuditRow

MAX_DETAIL = 200
_INSERT = insert(AuditRow.__table__)
"""A statement is faster than a row of the session, and SQLite's other writers wait meanwhile"""


def record(
    session: Session,
    action: Action,
    target: str | None = None,
    detail: str | None = None,
    *,
    key: ApiKeyRow | None = None,
) -> None:
    """Add an entry for this transaction, by the session's viewer or by the owner of `key`.

    Secrets in `detail`, such as a key in the path of a refused request, are hidden.
    """
    viewer = viewer_of(session)
    owner, key_id = (key.owner, key.id) if key is not None else (NOBODY, None)
    if key is None and viewer is not None:
        owner, key_id = viewer.owner, viewer.key_id
    entry = {
        "id": new_id("aud"),
        "at": database_now(session),
        "owner": owner,
        "key_id": key_id,
        "action": action,
        "target": target,
        "request_id": session.info.get("request_id"),
        "detail": None if detail is None else hide_secrets(detail)[:MAX_DETAIL],
    }
    session.execute(_INSERT, entry)


def list_entries(
    session: Session,
    *,
    limit: int,
    cursor: str | None = None,
    owner: str | None = None,
    action: Action | None = None,
    target: str | None = None,
) -> tuple[list[AuditRow], str | None]:
    """One page, newest first, and the cursor of the next page. Raises InvalidCursor."""
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(AuditRow.id < decode_cursor(cursor, str)[0])
    for column, value in (
        (AuditRow.owner, owner),
        (AuditRow.action, action),
        (AuditRow.target, target),
    ):
        if value is not None:
            query = query.where(column == value)
    rows = list(session.scalars(query))
    return rows[:limit], encode_cursor(rows[limit - 1].id) if len(rows) > limit else None


def forget_entries(db: Database, older_than: timedelta) -> int:
    """Delete older entries; returns how many."""
    with db.write() as session:
        old = AuditRow.at < database_now(session) - older_than
        return int(session.execute(delete(AuditRow).where(old)).rowcount)


def to_resource(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=row.at,
        owner=row.owner or None,
        key_id=row.key_id,
        action=row.action,
        target=row.target,
        request_id=row.request_id,
        detail=row.detail,
    )
