"""Copy a database with all its rows, from one consistent view of it, to an empty one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Table, Text, bindparam, cast, func, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, IntegrityError
from sqlmodel import Session, SQLModel

from storage.database.engine import Database
from storage.database.json_columns import ValidatedJson
from storage.errors import CopyRefused, SchemaOutdated

ROWS_AT_ONCE = 1_000


def copy_database(source: Database, target: Database) -> dict[str, int]:
    """Copy every row; returns their number by table. Other processes may write to `source`.

    Raises SchemaOutdated for a source with another schema than this version, CopyRefused where the
    target holds rows or cannot hold a row of the source. Then the target has no row.
    """
    if not source.schema_is_current():
        raise SchemaOutdated(
            "the database has the schema of another version; run `richregime db upgrade`"
        )
    if source.is_sqlite and target.is_sqlite:
        _copy_file(source, target)
    else:
        target.upgrade()
        with source.read() as reading, target.write() as writing:
            if not source.is_sqlite:
                reading.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            for table in SQLModel.metadata.sorted_tables:
                _copy_table(table, reading, writing)
    return count_rows(target)


def count_rows(db: Database) -> dict[str, int]:
    """The number of rows of each table."""
    with db.read() as session:
        return {
            table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in SQLModel.metadata.sorted_tables
        }


def _copy_file(source: Database, target: Database) -> None:
    path = Path(str(make_url(target.url).database))
    if path.exists() and path.stat().st_size > 0:
        raise CopyRefused(f"{path} exists; choose another file")
    with closing(sqlite3.connect(str(make_url(source.url).database), timeout=60)) as connection:
        connection.execute("VACUUM INTO ?", (str(path),))


def _copy_table(table: Table, reading: Session, writing: Session) -> None:
    if writing.execute(select(func.count()).select_from(table)).scalar_one():
        raise CopyRefused(
            f"the table {table.name!r} of the target holds rows; use an empty database"
        )
    to_sqlite = writing.get_bind().dialect.name == "sqlite"
    values = {
        column.name: bindparam(column.name, type_=Text)
        if to_sqlite
        else cast(bindparam(column.name, type_=Text), JSON)
        for column in table.columns
        if isinstance(column.type, ValidatedJson)
    }
    statement = insert(table).values(
        {column.name: values.get(column.name, bindparam(column.name)) for column in table.columns}
    )
    for rows in _read(table, reading):
        try:
            writing.execute(statement, rows)
        except (DataError, IntegrityError) as error:
            raise CopyRefused(
                f"a row of the table {table.name!r} cannot be copied: {error.orig}"
            ) from None


def _read(table: Table, session: Session) -> Iterator[list[dict[str, Any]]]:
    """The rows of a table; JSON as its text, which may be damaged."""
    columns = [
        cast(column, Text).label(column.name) if isinstance(column.type, ValidatedJson) else column
        for column in table.columns
    ]
    result = session.execute(select(*columns), execution_options={"yield_per": ROWS_AT_ONCE})
    for rows in result.mappings().partitions():
        yield [{name: _with_zone(value) for name, value in row.items()} for row in rows]


def _with_zone(value: Any) -> Any:
    """SQLite drops the time zone of times, which are in UTC."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value
