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
from sqlalchemy.exc import SQLAlchemyError as DatabaseError
from sqlmodel import Session

from engine.durations import format_seconds
from runtime.clock import wall_clock
from runtime.fair_lock import FairLock
from storage.access.ownership import OwnerScopedSession, Viewer
from storage.database import schema
from storage.database.availability import DatabaseUnavailable, raising_unavailable
from storage.database.shared_files import warn_of_network_file
from storage.errors import SchemaOutdated

LOCKED_SECONDS = 15.0
"""How long a writer waits for SQLite's lock and for the earlier writers of its process."""


class Database:
    """One database. Each process creates its own: connections do not survive a fork."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        if self.is_sqlite:
            database = make_url(url).database
            assert database, "SQLite needs a file: several processes share it"
            Path(database).parent.mkdir(parents=True, exist_ok=True)
            warn_of_network_file(Path(database))
        self._fair_lock = FairLock()
        self._waiting = threading.local()
        """`until`: when the thread stops waiting to write, on the clock of `time.monotonic`;
        `durable`: whether its transaction is"""
        self._writer = self._create_engine(read_only=False)
        self._reader = self._create_engine(read_only=True) if self.is_sqlite else self._writer
        self._viewer: Viewer | None = None
        self._request_id: str | None = None

    def for_viewer(self, viewer: Viewer | None, request_id: str | None = None) -> Database:
        """The same database with sessions that see and make only the viewer's rows.

        See `storage.access.ownership`. The audit trail records the request id.
        """
        scoped = copy(self)
        scoped._viewer, scoped._request_id = viewer, request_id
        return scoped

    def _open(self, engine: Engine) -> Session:
        if self._viewer is None:
            return Session(engine, expire_on_commit=False, info={"request_id": self._request_id})
        info = {"viewer": self._viewer, "request_id": self._request_id}
        return OwnerScopedSession(engine, expire_on_commit=False, info=info)

    def _create_engine(self, *, read_only: bool) -> Engine:
        # An error message with the values of its statement would bring secrets into the log.
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
            connection.isolation_level = None  # the listener below begins transactions
            connection.text_factory = _read_text
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA fullfsync=ON")  # macOS: through the disk's cache
            cursor.execute("PRAGMA foreign_keys=ON")
            if read_only:
                cursor.execute("PRAGMA query_only=ON")
            cursor.close()

        @event.listens_for(engine, "begin")
        def begin(connection: Any) -> None:
            # Through the driver: SQLAlchemy's overhead is larger than the statement's cost.
            driver = connection.connection.driver_connection
            if read_only:
                driver.execute("BEGIN")
                return
            left = max(0.0, self._waiting.until - time.monotonic())
            driver.execute(f"PRAGMA busy_timeout={left * 1e3:.0f}")
            level = "FULL" if self._waiting.durable else "NORMAL"
            driver.execute(f"PRAGMA synchronous={level}")
            # Through SQLAlchemy, so that a failure is raised as its error.
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Session]:
        """One write transaction, committed at the end of the block, rolled back on any error.

        durable: on the disk before the block returns. False: SQLite may lose it when the machine
        loses power, for rows that are written anew, such as metrics and heartbeats.
        A thread must not open two at once: on SQLite the second would wait for the first.
        Raises DatabaseUnavailable.
        """
        with (
            raising_unavailable(),
            self._write_lock(durable=durable),
            self._open(self._writer) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def _write_lock(self, *, durable: bool = True) -> Iterator[None]:
        """Let one thread of this process at a time ask for SQLite's lock, which is not fair."""
        if not self.is_sqlite:
            yield
            return
        self._waiting.until = time.monotonic() + LOCKED_SECONDS
        self._waiting.durable = durable
        if not self._fair_lock.acquire(LOCKED_SECONDS):
            raise DatabaseUnavailable(f"no write lock within {format_seconds(LOCKED_SECONDS)}")
        try:
            yield
        finally:
            self._fair_lock.release()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent view; SQLite refuses writes. Raises DatabaseUnavailable."""
        with raising_unavailable(), self._open(self._reader) as session:
            yield session

    def dispose(self) -> None:
        """Close every connection."""
        self._writer.dispose()
        self._reader.dispose()

    def upgrade(self, revision: str = "head") -> None:
        """Migrate the schema forward to `revision`.

        A newer schema than this code knows is left as it is: later versions only add to it.
        """
        if self.schema_is_newer() or (revision == "head" and self.schema_is_current()):
            return
        with raising_unavailable(), self._write_lock(), self._writer.begin() as connection:
            schema.upgrade(connection, revision)

    def downgrade(self, revision: str) -> None:
        """Migrate the schema back to `revision`."""
        with raising_unavailable(), self._write_lock(), self._writer.begin() as connection:
            schema.downgrade(connection, revision)

    def schema_is_current(self) -> bool:
        """Whether the database has the newest schema that this code knows."""
        return self._revision() == schema.known_revisions()[-1]

    def schema_is_newer(self) -> bool:
        """Whether a later version than this code has migrated the database."""
        found = self._revision()
        return found is not None and found not in schema.known_revisions()

    def require_schema(self) -> None:
        """Upgrade a SQLite file to the newest schema.

        Raises SchemaOutdated for an outdated Postgres: other processes share it, so the operator
        chooses when to upgrade.
        """
        if self.schema_is_current() or self.schema_is_newer():
            return
        if not self.is_sqlite:
            raise SchemaOutdated(
                "the database schema is older than this version; run `richregime db upgrade`"
            )
        self.upgrade()

    def _revision(self) -> str | None:
        with raising_unavailable(), self._reader.connect() as connection:
            return schema.find_revision(connection)


def _read_text(stored: bytes) -> str:
    """Replace invalid UTF-8: by default SQLite's driver would fail the whole query."""
    return stored.decode("utf-8", "replace")


def _dump_json(value: Any) -> str:
    """Keys keep their order: a sweep depends on it. Raises ValueError for NaN and infinity."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def database_now(session: Session) -> datetime:
    """The time in UTC by the database's clock, which all workers share; SQLite: this machine's."""
    if session.get_bind().dialect.name == "sqlite":
        return wall_clock()
    found: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return found.astimezone(UTC)


def as_utc(moment: datetime | None) -> datetime | None:
    """The moment with its time zone: SQLite drops it, and all stored times are UTC."""
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
