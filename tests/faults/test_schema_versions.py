"""This version's code on a database with a later or an earlier schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage.database.engine import Database
from storage.errors import SchemaOutdated
from storage.files.blobs import BlobStore
from tests.faults.in_process_worker import SPEC, InProcessWorker, make_settings
from tests.postgres import new_database


def execute_sql(db: Database, statement: str, **values: Any) -> None:
    with db.write() as session:
        session.execute(text(statement), values)


@pytest.fixture(params=["sqlite", "postgres"])
def worker_on_both(
    request: pytest.FixtureRequest, tmp_path: Path, blobs: BlobStore
) -> Iterator[InProcessWorker]:
    """A worker on SQLite and on Postgres."""
    if request.param == "sqlite":
        url = request.getfixturevalue("sqlite_url")
        made = InProcessWorker(make_settings(tmp_path, database_url=url), Database(url), blobs)
        yield made
        made.db.dispose()
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        made = InProcessWorker(make_settings(tmp_path, database_url=url), Database(url), blobs)
        made.db.upgrade()
        yield made
        made.db.dispose()


def apply_later_migration(db: Database) -> None:
    """Migrate as a later version may: columns with defaults and tables are added."""
    execute_sql(db, "ALTER TABLE run ADD COLUMN later VARCHAR DEFAULT 'x' NOT NULL")
    execute_sql(db, "ALTER TABLE experiment ADD COLUMN later INTEGER")
    execute_sql(db, "CREATE TABLE later (id VARCHAR PRIMARY KEY)")
    execute_sql(db, "UPDATE alembic_version SET version_num = '9999'")


def test_this_version_continues_and_restarts_on_a_later_schema(
    worker_on_both: InProcessWorker,
) -> None:
    reference = worker_on_both.reference(SPEC)
    apply_later_migration(worker_on_both.db)
    worker_on_both.submit(SPEC)
    worker_on_both.work_until_idle()
    restarted = Database(worker_on_both.settings.resolved_database_url)
    restarted.require_schema()
    restarted.upgrade()
    assert restarted.schema_is_newer()
    restarted.dispose()
    worker_on_both.submit(SPEC)
    worker_on_both.work_until_idle()
    worker_on_both.assert_invariants(reference)


def test_an_older_schema_is_migrated_on_sqlite_and_reported_on_postgres(
    worker_on_both: InProcessWorker,
) -> None:
    worker_on_both.db.downgrade("0001")
    assert not worker_on_both.db.schema_is_newer()
    if worker_on_both.db.is_sqlite:
        worker_on_both.db.require_schema()
        assert worker_on_both.db.schema_is_current()
    else:
        with pytest.raises(SchemaOutdated):
            worker_on_both.db.require_schema()
