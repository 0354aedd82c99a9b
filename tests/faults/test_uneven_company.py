"""A row that cannot be read, a schema of a later version, a clock that is wrong: the others' runs flow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage.database import engine as storage_db
from storage.database.engine import Database
from storage.errors import SchemaOutdated
from storage.files.blobs import BlobStore
from storage.runs import claim as claims
from storage.runs import lease_expiry as reaping
from storage.runs import transitions as runs
from storage.runs.lease_expiry import expire_leases
from storage.runs.transitions import heartbeat
from tests.faults.conftest import Bench, make_settings
from tests.faults.test_fault_points import SPEC
from tests.postgres import new_database


def status_of(bench: Bench, run_id: str) -> tuple[str, str | None]:
    with bench.db.read() as session:
        query = text("SELECT status, error_code FROM run WHERE id = :id")
        status, code = session.execute(query, {"id": run_id}).one()
        return status, code


def write(db: Database, statement: str, **values: Any) -> None:
    with db.write() as session:
        session.execute(text(statement), values)


@pytest.mark.parametrize(
    ("table", "column", "value", "reason"),
    [
        ("run", "seeds", "3", "internal"),
        ("run", "seeds", "[0,", "internal"),
        ("point", "spec", "{", "internal"),
        ("point", '"values"', "[", "internal"),
        ("point", "spec", '{"kind": "gone"}', "invalid_spec"),
        ("point", "spec", '{"kind": "train", "epochs": -1}', "invalid_spec"),
    ],
)
def test_a_row_that_cannot_be_read_fails_its_run_and_starves_nobody(
    bench: Bench, table: str, column: str, value: str, reason: str
) -> None:
    bad_experiment, bad = bench.submit(SPEC)
    good = [bench.submit(SPEC)[1] for _ in range(2)]
    key = "id" if table == "run" else "experiment_id"
    write(
        bench.db,
        f"UPDATE {table} SET {column} = :value WHERE {key} = :key",
        value=value,
        key=bad if table == "run" else bad_experiment,
    )
    bench.work_until_idle()
    assert status_of(bench, bad) == ("failed", reason)
    assert [status_of(bench, run_id)[0] for run_id in good] == ["succeeded"] * 2


@pytest.fixture(params=["sqlite", "postgres"])
def company(request: pytest.FixtureRequest, tmp_path: Path, blobs: BlobStore) -> Iterator[Bench]:
    """A bench on either database."""
    if request.param == "sqlite":
        url = request.getfixturevalue("sqlite_url")
        made = Bench(make_settings(tmp_path, database_url=url), Database(url), blobs)
        yield made
        made.db.dispose()
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        made = Bench(make_settings(tmp_path, database_url=url), Database(url), blobs)
        made.db.upgrade()
        yield made
        made.db.dispose()


def migrate_beyond(db: Database) -> None:
    """What a later version's migration may do: it adds, with defaults."""
    write(db, "ALTER TABLE run ADD COLUMN later VARCHAR DEFAULT 'x' NOT NULL")
    write(db, "ALTER TABLE experiment ADD COLUMN later INTEGER")
    write(db, "CREATE TABLE later (id VARCHAR PRIMARY KEY)")
    write(db, "UPDATE alembic_version SET version_num = '9999'")


def test_this_version_works_on_beside_a_later_schema_and_starts_beside_it(company: Bench) -> None:
    reference = company.reference(SPEC)
    migrate_beyond(company.db)
    company.submit(SPEC)
    company.work_until_idle()
    restarted = Database(company.settings.resolved_database_url)
    restarted.require_schema()
    restarted.upgrade()
    assert restarted.schema_is_newer()
    restarted.dispose()
    company.submit(SPEC)
    company.work_until_idle()
    company.assert_invariants(reference)


def test_an_older_schema_is_migrated_where_the_file_is_ours_and_told_where_others_share_it(
    company: Bench,
) -> None:
    company.db.downgrade("0001")
    assert not company.db.schema_is_newer()
    if company.db.is_sqlite:
        company.db.require_schema()
        assert company.db.schema_is_current()
    else:
        with pytest.raises(SchemaOutdated):
            company.db.require_schema()


def shifted_clock(hours: float) -> type[datetime]:
    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(hours=hours)

    return Shifted


def by_the_own_clock(session: object) -> datetime:
    return storage_db.datetime.now(UTC)


@pytest.mark.parametrize("hours", [-1.0, 1.0])
@pytest.mark.parametrize("protected", [True, False])
def test_leases_go_by_the_database_s_clock_however_wrong_a_worker_s_is(
    postgres_server: str,
    tmp_path: Path,
    blobs: BlobStore,
    monkeypatch: pytest.MonkeyPatch,
    hours: float,
    protected: bool,
) -> None:
    """A lease of a worker whose clock is wrong lasts while it is renewed, and ends when it is not."""
    with new_database(postgres_server) as url:
        bench = Bench(make_settings(tmp_path, database_url=url), Database(url), blobs)
        bench.db.upgrade()
        _, run_id = bench.submit(SPEC)
        with monkeypatch.context() as wrong:
            wrong.setattr(storage_db, "datetime", shifted_clock(hours))
            if not protected:
                for moves in (claims, reaping, runs):
                    wrong.setattr(moves, "database_now", by_the_own_clock)
            claim = bench.claimed()
            assert heartbeat(bench.db, run_id, claim.fence, 30.0).alive
        kept = expire_leases(bench.db, 3) == []
        with monkeypatch.context() as wrong:
            wrong.setattr(storage_db, "datetime", shifted_clock(hours))
            if not protected:
                for moves in (claims, reaping, runs):
                    wrong.setattr(moves, "database_now", by_the_own_clock)
            heartbeat(bench.db, run_id, claim.fence, -1.0)
        ended = expire_leases(bench.db, 3) == [run_id]
        bench.db.dispose()
        assert (kept and ended) == protected
