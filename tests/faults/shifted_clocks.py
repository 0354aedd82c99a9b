"""Databases whose clock a test can shift, as a virtual machine's pause or an operator does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from runtime import fault_points
from storage.database.engine import Database
from tests.postgres import new_database

SHIFTED_CLOCK = """
CREATE SCHEMA shifted;
CREATE TABLE shifted.clock AS SELECT 0.0::float AS seconds;
CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  'SELECT pg_catalog.clock_timestamp() + make_interval(secs => seconds) FROM shifted.clock';
"""
"""A function that Postgres finds before its own, by the order of the schemas below"""
SEARCH_PATH = "shifted, pg_catalog, public"


@dataclass(frozen=True)
class ShiftedDatabase:
    """A migrated database; `environment` gives its clock to other processes."""

    url: str
    environment: dict[str, str]
    shift: Callable[[float], None]
    """Set its clock so many seconds ahead of the true time"""


@contextmanager
def shifted_sqlite(
    folder: Path, template: Path, patch: pytest.MonkeyPatch
) -> Iterator[ShiftedDatabase]:
    """A SQLite file; its clock is the machine's wall clock."""
    path, points = folder / "shifted.sqlite3", folder / "points"
    path.write_bytes(template.read_bytes())
    points.mkdir()

    def shift(seconds: float) -> None:
        partial = points / "clock.partial"
        partial.write_text(str(seconds))
        partial.replace(points / "clock")
        patch.setattr(fault_points, "clock_shift", lambda: seconds)

    yield ShiftedDatabase(f"sqlite:///{path}", {fault_points.FOLDER_VARIABLE: str(points)}, shift)


@contextmanager
def shifted_postgres(server: str) -> Iterator[ShiftedDatabase]:
    """A database of this server; no other database's clock is shifted."""
    with new_database(server) as url:
        db = Database(url)
        db.upgrade()
        db.dispose()
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            name = connection.execute(text("SELECT current_database()")).scalar_one()
            connection.exec_driver_sql(SHIFTED_CLOCK)
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET search_path = {SEARCH_PATH}')

        def shift(seconds: float) -> None:
            with engine.connect() as connection:
                connection.execute(
                    text("UPDATE shifted.clock SET seconds = :seconds"), {"seconds": seconds}
                )

        try:
            yield ShiftedDatabase(url, {}, shift)
        finally:
            engine.dispose()
