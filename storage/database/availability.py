"""Which errors mean that the database is unavailable: a passing state, not a bug."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from runtime.logs import hide_secrets

SQLITE_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,  # the locking protocol of the write-ahead log
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
    }
)
"""Primary result codes: another connection has the lock, or the file cannot be opened, read or
extended."""
POSTGRES_CLASSES = ("08", "53", "57P")
"""Starts of SQLSTATEs: connection lost or refused, resources exhausted, server shutting down or
starting"""
POSTGRES_STATES = frozenset({"55P03", "57014", "40P01", "40001"})
"""Lock timeout, statement timeout, deadlock, serialization failure"""


class DatabaseUnavailable(SQLAlchemyError):
    """The database does not answer at present; the same request may succeed later."""


@contextmanager
def raising_unavailable() -> Iterator[None]:
    """Raises DatabaseUnavailable for errors that pass; every other error is raised as it is."""
    try:
        yield
    except NoFreeConnection as error:
        raise DatabaseUnavailable("no connection is free") from error
    except DBAPIError as error:
        if is_passing(error):
            raise DatabaseUnavailable(str(error.orig)) from error
        raise


def describe_failure(error: SQLAlchemyError) -> str:
    """One line for an operator: what the database says, and where its address stands."""
    cause = getattr(error, "orig", None) or error
    told = " ".join(hide_secrets(str(cause)).split())
    return (
        f"the database cannot be used: {told}; "
        "check RICHREGIME_DATABASE_URL, or the home of an SQLite file"
    )


def is_passing(error: DBAPIError) -> bool:
    """Whether the error comes from the state of the database, not from the statement."""
    if error.connection_invalidated:
        return True
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        # Absent where the driver itself, and not SQLite, raises the error.
        code = getattr(cause, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in SQLITE_CODES  # the low byte is the primary code
    state = getattr(cause, "sqlstate", None)
    if state is None:  # the connection failed before the server sent a state
        return isinstance(error, OperationalError)
    return state.startswith(POSTGRES_CLASSES) or state in POSTGRES_STATES
