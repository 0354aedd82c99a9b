"""Migrations up and down on both databases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel

from storage.database.engine import Database
from storage.database.schema import MIGRATIONS, known_revisions


def test_files_are_named_after_their_revisions_in_order() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    newest_first = [
        script.revision for script in ScriptDirectory.from_config(config).walk_revisions()
    ]
    assert known_revisions() == newest_first[::-1]


def test_every_migration_goes_up_and_down_and_gives_the_schema_of_the_tables(
    fresh_database: Database,
) -> None:
    fresh_database.upgrade()
    fresh_database.downgrade("0001")
    assert not fresh_database.schema_is_current()
    fresh_database.upgrade()
    assert fresh_database.schema_is_current()
    with fresh_database.read() as session:
        connection = session.connection()
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
        assert "spec_digest" in {
            column["name"] for column in sa.inspect(connection).get_columns("training")
        }


def test_a_downgrade_to_base_drops_every_table(fresh_database: Database) -> None:
    def tables() -> set[str]:
        with fresh_database.read() as session:
            return set(sa.inspect(session.connection()).get_table_names()) - {"alembic_version"}

    fresh_database.upgrade()
    fresh_database.downgrade("base")
    assert tables() == set()
    fresh_database.upgrade()
    assert tables() == set(SQLModel.metadata.tables)


def test_the_downgrade_to_0007_keeps_the_first_owner_of_each_key(
    fresh_database: Database,
) -> None:
    fresh_database.upgrade()
    made = (
        "INSERT INTO idempotency (owner, key, body_sha256, experiment_id, status_code, created_at)"
    )
    with fresh_database.write() as session:
        for owner, key in (("ada", "one"), ("ben", "one"), ("ben", "two")):
            values = f"('{owner}', '{key}', 'x', 'of {owner}', 201, '2026-01-01')"
            session.execute(sa.text(f"{made} VALUES {values}"))
    fresh_database.downgrade("0007")
    with fresh_database.read() as session:
        rows = session.execute(
            sa.text("SELECT key, experiment_id FROM idempotency ORDER BY key")
        ).all()
        constraint = sa.inspect(session.connection()).get_pk_constraint("idempotency")
    assert [tuple(row) for row in rows] == [("one", "of ada"), ("two", "of ben")]
    assert (constraint["name"], constraint["constrained_columns"]) == ("pk_idempotency", ["key"])
    fresh_database.upgrade()
    with fresh_database.read() as session:
        constraint = sa.inspect(session.connection()).get_pk_constraint("idempotency")
        assert session.execute(sa.text("SELECT DISTINCT owner FROM idempotency")).all() == [("",)]
    assert constraint["constrained_columns"] == ["owner", "key"]
