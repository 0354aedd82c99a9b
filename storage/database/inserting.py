"""Inserts a row unless another transaction has inserted its key, also at the same moment."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel


def insert_unless_taken(session: Session, row: SQLModel) -> bool:
    """Insert the row; False where its key is taken. The transaction goes on either way.

    On Postgres it waits for another transaction that inserts the same key.
    """
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError:
        return False
    return True
