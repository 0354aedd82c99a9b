"""Engines, sessions and transactions on SQLite and Postgres."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import OperationalError as DatabaseUnavailable
from sqlalchemy.exc import SQLAlchemyError as DatabaseError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlmodel import Session

from runtime.fair_lock import FairLock
from storage.access.ownership import OwnerScopedSession, Viewer
from storage.database import schema
from storage.errors import SchemaOutdated

LOCKED_SECONDS = 15.0
"""How long a writer waits for SQLite's lock, and for those before it in this process."""


class Database:
    """One database. Each process makes its own: connections do not survive a fork."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        if self.is_sqlite:
            database = make_url(url).database
            assert database, "SQLite needs a file: connections of several processes share it"
            Path(database).parent.mkdir(parents=True, exist_ok=True)
        self._fair_lock = FairLock()
        self._waiting = threading.local()
        """`until`: when a thread that wants to write stops waiting, on the clock of `time.monotonic`"""
        self._writer = self._create_engine(read_only=False)
        self._reader = self._create_engine(read_only=True) if self.is_sqlite else self._writer
        self._viewer: Viewer | None = None
        self._request_id: str | None = None

    def for_viewer(self, viewer: Viewer | None, request_id: str | None = None) -> Database:
        """The same database, of which its sessions see and make the viewer's rows alone (see `storage.access.ownership`), and
        note the request in what they record (see `storage.access.audit`)."""
        seen = copy(self)
        seen._viewer, seen._request_id = viewer, request_id
        return seen

    def _open(self, engine: Engine) -> Session:
        if self._viewer is None:
            return Session(engine, expire_on_commit=False, info={"request_id": self._request_id})
        info = {"viewer": self._viewer, "request_id": self._request_id}
        return OwnerScopedSession(engine, expire_on_commit=False, info=info)

    def _create_engine(self, *, read_only: bool) -> Engine:
        # An error that tells the values of its statement would take secrets to the log.
        options: dict[str, Any] = {"json_serializer": _dump_json, "hide_parameters": True}
        if not self.is_sqlite:
            return create_engine(
                self.url, pool_size=10, max_overflow=10, pool_pre_ping=True, **options
            )
        engine = create_engine(
            self.url,
            pool_size=40 if read_only else 1,
            max_overflow=20,
            connect_args={"timeout": LOCKED_SECONDS, "check_same_thread": False},
            **options,
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # transactions are begun below, not by the driver
            connection.text_factory = _read_text
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=NORMAL")
            cursor.execute("PRAGMA foreign_keys=ON")
            if read_only:
                cursor.execute("PRAGMA query_only=ON")
            cursor.close()

        @event.listens_for(engine, "begin")
        def begin(connection: Any) -> None:
            # by the driver: SQLAlchemy's ways cost more than what they do here
            driver = connection.connection.driver_connection
            if read_only:
                driver.execute("BEGIN")
                return
            left = max(0.0, self._waiting.until - time.monotonic())
            driver.execute(f"PRAGMA busy_timeout={left * 1e3:.0f}")
            # by SQLAlchemy: its error is that of a database which does not answer
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One writing transaction, committed at the end of the block and rolled back on any error. A thread must not have
        two: on SQLite the second would wait for the first."""
        with (
            _raising_unavailable(),
            self._turn(),
            self._open(self._writer) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The turn to write. SQLite's lock is won by whoever asks in the right moment: one thread of a process asks."""
        if not self.is_sqlite:
            yield
            return
        self._waiting.until = time.monotonic() + LOCKED_SECONDS
        if not self._fair_lock.acquire(LOCKED_SECONDS):
            raise DatabaseUnavailable("the turn to write has not come", None, TimeoutError())
        try:
            yield
        finally:
            self._fair_lock.release()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent view; writes are refused on SQLite."""
        with _raising_unavailable(), self._open(self._reader) as session:
            yield session

    def dispose(self) -> None:
        """Close every connection."""
        self._writer.dispose()
        self._reader.dispose()

    def upgrade(self, revision: str = "head") -> None:
        """Bring the schema to `revision`; that of a later version is left as it is, as it only adds to ours."""
        if self.schema_is_newer() or (revision == "head" and self.schema_is_current()):
            return
        with self._turn(), self._writer.begin() as connection:
            schema.upgrade(connection, revision)

    def downgrade(self, revision: str) -> None:
        """Take the schema back to `revision`."""
        with self._turn(), self._writer.begin() as connection:
            schema.downgrade(connection, revision)

    def schema_is_current(self) -> bool:
        """Whether the database has the newest schema that this code knows."""
        return self._revision() == schema.known_revisions()[-1]

    def schema_is_newer(self) -> bool:
        """Whether a later version than this code has migrated the database."""
        found = self._revision()
        return found is not None and found not in schema.known_revisions()

    def require_schema(self) -> None:
        """Bring a file of our own to the newest schema. Raises SchemaOutdated for an older one in a database that others
        share: its owner chooses the moment."""
        if self.schema_is_current() or self.schema_is_newer():
            return
        if not self.is_sqlite:
            raise SchemaOutdated(
                "the database's schema is not this version's; run `richregime db upgrade`"
            )
        self.upgrade()

    def _revision(self) -> str | None:
        with self._reader.connect() as connection:
            return schema.find_revision(connection)


@contextmanager
def _raising_unavailable() -> Iterator[None]:
    """A pool without a free connection, or a connection cut in the midst, is a database that does not answer."""
    try:
        yield
    except NoFreeConnection as error:
        raise DatabaseUnavailable("no connection is free", None, error) from error
    except DBAPIError as error:
        if error.connection_invalidated and not isinstance(error, DatabaseUnavailable):
            raise DatabaseUnavailable("the connection was cut", None, error) from error
        raise


def _read_text(stored: bytes) -> str:
    """A byte that is no UTF-8 is shown as such; by itself SQLite's driver would refuse all rows of the query."""
    return stored.decode("utf-8", "replace")


def _dump_json(value: Any) -> str:
    """Keys keep their order: that of a sweep means something. Raises ValueError on NaN and infinity."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def database_now(session: Session) -> datetime:
    """The database's clock, UTC: the one clock that all workers share. SQLite has none but its process's own."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    found: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return found.astimezone(UTC)


def as_utc(moment: datetime | None) -> datetime | None:
    """SQLite forgets time zones: all stored times are UTC."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def seconds_since(moment: datetime | None, now: datetime) -> float | None:
    """None where there is no moment."""
    then = as_utc(moment)
    return None if then is None else (now - then).total_seconds()


__all__ = [
    "Database",
    "DatabaseError",
    "DatabaseUnavailable",
    "Session",
    "as_utc",
    "database_now",
    "seconds_since",
]
