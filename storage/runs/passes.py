"""Passes that one process of all makes: every process asks, the first one to ask gets it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.dialects import postgresql, sqlite

from storage.database.engine import Database, as_utc, database_now
from storage.database.tables import DuePassRow

DUE_AFTER = 3 / 4
"""Of an interval: a process alone, which asks once in each interval, then always gets the pass"""


def begin_pass(db: Database, name: str, interval_seconds: float) -> bool:
    """Whether the calling process is to make the pass of this name now.

    Of all processes that ask, one gets the pass in each interval. If it dies meanwhile, another
    gets the next one. Asking costs one read. interval_seconds: above 0. Raises DatabaseUnavailable.
    """
    longest = timedelta(seconds=interval_seconds)
    with db.read() as session:
        now = database_now(session)
        due_at = as_utc(session.scalar(select(DuePassRow.due_at).where(DuePassRow.name == name)))
    # One that is due later than this was stored before the clock was set back.
    if due_at is not None and now < due_at <= now + longest:
        return False
    with db.write(durable=False) as session:
        now = database_now(session)
        insert: Any = sqlite.insert if db.is_sqlite else postgresql.insert
        statement = insert(DuePassRow).values(name=name, due_at=now + longest * DUE_AFTER)
        is_due = or_(DuePassRow.due_at <= now, DuePassRow.due_at > now + longest)
        taken = statement.on_conflict_do_update(
            index_elements=["name"], set_={"due_at": statement.excluded.due_at}, where=is_due
        ).returning(DuePassRow.name)
        return session.execute(taken).first() is not None
