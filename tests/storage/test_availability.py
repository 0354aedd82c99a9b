"""Only errors that pass mean that the database is unavailable; a faulty statement does not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from storage.database import engine
from storage.database.engine import Database, DatabaseError, DatabaseUnavailable
from storage.errors import SchemaOutdated
from tests.postgres import TemporaryServer, temporary_server
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")


@pytest.fixture
def server() -> Iterator[TemporaryServer]:
    with temporary_server() as running:
        yield running


@pytest.fixture
def postgres(server: TemporaryServer) -> Iterator[Database]:
    db = Database(server.url.replace("postgresql://", "postgresql+psycopg://"))
    db.upgrade()
    yield db
    db.dispose()


def execute(db: Database, statement: str) -> None:
    with db.write() as session:
        session.execute(text(statement))


@pytest.mark.parametrize(
    "statement",
    ["SELECT no_such_column FROM run", "SELECT * FROM no_such_table", "SELEKT 1"],
)
def test_a_faulty_statement_is_no_unavailable_database(store: Store, statement: str) -> None:
    with pytest.raises(DBAPIError) as raised:
        execute(store.db, statement)
    assert not isinstance(raised.value, DatabaseUnavailable)
    with pytest.raises(DBAPIError) as raised, store.db.read() as session:
        session.execute(text(statement))
    assert not isinstance(raised.value, DatabaseUnavailable)


def test_a_violated_constraint_keeps_its_own_error(store: Store) -> None:
    experiment_id, _ = store.submit()
    copy = f"INSERT INTO event SELECT * FROM event WHERE experiment_id = '{experiment_id}'"
    with pytest.raises(IntegrityError):
        execute(store.db, copy)


def test_an_unavailable_database_is_a_database_error() -> None:
    assert issubclass(DatabaseUnavailable, DatabaseError)


def test_a_locked_sqlite_file_is_unavailable(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOCKED_SECONDS", 0.1)
    db = Database(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="locked"):
        execute(db, "UPDATE run SET priority = 0")
    other.execute("ROLLBACK")
    execute(db, "UPDATE run SET priority = 0")
    other.close()
    db.dispose()


def test_a_sqlite_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "folder.sqlite3"
    db = Database(f"sqlite:///{path}")
    path.mkdir()
    with pytest.raises(DatabaseUnavailable, match="unable to open"), db.read() as session:
        session.execute(text("SELECT 1"))
    db.dispose()


def test_a_sqlite_file_of_another_format_is_no_unavailable_database(tmp_path: Path) -> None:
    path = tmp_path / "text.sqlite3"
    path.write_bytes(b"this is no database " * 100)
    db = Database(f"sqlite:///{path}")
    with pytest.raises(DBAPIError, match="not a database"), db.read() as session:
        session.execute(text("SELECT 1"))
    db.dispose()


def stop_while_reading(server: TemporaryServer, db: Database) -> None:
    with db.read() as session:
        session.execute(text("SELECT 1"))
        server.stop()
        session.execute(text("SELECT 1"))


def terminate_while_reading(db: Database) -> None:
    with db.read() as session:
        backend = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        execute(db, f"SELECT pg_terminate_backend({backend})")
        session.execute(text("SELECT 1"))


def update_with_timeout(db: Database, setting: str) -> None:
    with db.write() as session:
        session.execute(text(f"SET LOCAL {setting} = 50"))
        session.execute(text("UPDATE run SET priority = 0"))


def test_a_stopped_postgres_is_unavailable(server: TemporaryServer, postgres: Database) -> None:
    execute(postgres, "UPDATE run SET priority = 0")
    with pytest.raises(DatabaseUnavailable):
        stop_while_reading(server, postgres)
    for call in (lambda: execute(postgres, "SELECT 1"), postgres.schema_is_current):
        with pytest.raises(DatabaseUnavailable):
            call()


def test_a_cut_connection_is_unavailable_and_the_next_one_works(postgres: Database) -> None:
    with pytest.raises(DatabaseUnavailable):
        terminate_while_reading(postgres)
    execute(postgres, "UPDATE run SET priority = 0")


@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout"])
def test_a_postgres_timeout_is_unavailable(postgres: Database, setting: str) -> None:
    with postgres.write() as session:
        session.execute(text("LOCK TABLE run IN EXCLUSIVE MODE"))
        with pytest.raises(DatabaseUnavailable, match="timeout"):
            update_with_timeout(postgres, setting)


def test_an_exhausted_pool_is_unavailable(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres._writer.pool, "_timeout", 0.05)
    held = [postgres._writer.connect() for _ in range(20)]
    with pytest.raises(DatabaseUnavailable, match="no connection is free"):
        execute(postgres, "SELECT 1")
    for connection in held:
        connection.close()


def test_an_outdated_postgres_is_not_upgraded_at_the_start(postgres: Database) -> None:
    postgres.downgrade("0012")
    with pytest.raises(SchemaOutdated, match="richregime db upgrade"):
        postgres.require_schema()
    with pytest.raises(DBAPIError) as raised:
        execute(postgres, "SELECT worker FROM run")
    assert not isinstance(raised.value, DatabaseUnavailable)
