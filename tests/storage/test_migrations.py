"""The schema's steps, up and down, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel

from storage.db import Database
from tests.postgres import new_database


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        db = Database(f"sqlite:///{tmp_path / 'steps.sqlite3'}")
        yield db
        db.dispose()
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        db = Database(url)
        yield db
        db.dispose()


def test_each_step_goes_up_and_down_and_ends_at_what_the_code_expects(database: Database) -> None:
    database.upgrade()
    database.downgrade("0001")
    assert not database.schema_is_current()
    database.upgrade()
    assert database.schema_is_current()
    with database.read() as session:
        connection = session.connection()
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
        assert "form_digest" in {column["name"] for column in sa.inspect(connection).get_columns("training")}


def test_all_the_way_down_leaves_no_table_and_up_again_makes_all(database: Database) -> None:
    def tables() -> set[str]:
        with database.read() as session:
            return set(sa.inspect(session.connection()).get_table_names()) - {"alembic_version"}

    database.upgrade()
    database.downgrade("base")
    assert tables() == set()
    database.upgrade()
    assert tables() == set(SQLModel.metadata.tables)
