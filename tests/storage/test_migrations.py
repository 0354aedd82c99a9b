"""The schema's steps, up and down, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel

from storage.database.engine import Database
from storage.database.schema import MIGRATIONS, known_revisions
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


def test_the_files_are_named_after_their_revisions_in_order() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    newest_first = [
        script.revision for script in ScriptDirectory.from_config(config).walk_revisions()
    ]
    assert known_revisions() == newest_first[::-1]


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
        assert "spec_digest" in {
            column["name"] for column in sa.inspect(connection).get_columns("training")
        }


def test_all_the_way_down_leaves_no_table_and_up_again_makes_all(database: Database) -> None:
    def tables() -> set[str]:
        with database.read() as session:
            return set(sa.inspect(session.connection()).get_table_names()) - {"alembic_version"}

    database.upgrade()
    database.downgrade("base")
    assert tables() == set()
    database.upgrade()
    assert tables() == set(SQLModel.metadata.tables)


def test_what_several_owners_call_alike_is_one_owner_s_after_the_step_down(
    database: Database,
) -> None:
    database.upgrade()
    made = (
        "INSERT INTO idempotency (owner, key, body_sha256, experiment_id, status_code, created_at)"
    )
    with database.write() as session:
        for owner, key in (("ada", "one"), ("ben", "one"), ("ben", "two")):
            values = f"('{owner}', '{key}', 'x', 'of {owner}', 201, '2026-01-01')"
            session.execute(sa.text(f"{made} VALUES {values}"))
    database.downgrade("0007")
    with database.read() as session:
        rows = session.execute(
            sa.text("SELECT key, experiment_id FROM idempotency ORDER BY key")
        ).all()
        constraint = sa.inspect(session.connection()).get_pk_constraint("idempotency")
    assert [tuple(row) for row in rows] == [("one", "of ada"), ("two", "of ben")]
    assert (constraint["name"], constraint["constrained_columns"]) == ("pk_idempotency", ["key"])
    database.upgrade()
    with database.read() as session:
        constraint = sa.inspect(session.connection()).get_pk_constraint("idempotency")
        assert session.execute(sa.text("SELECT DISTINCT owner FROM idempotency")).all() == [("",)]
    assert constraint["constrained_columns"] == ["owner", "key"]
