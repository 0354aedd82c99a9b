"""The checks of the database and of its rows."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from ops.doctor.database_checks import check_database
from ops.doctor.findings import Level
from runtime.settings import Settings
from schemas.access import Scope
from storage.access.keys import create_key
from storage.database.engine import database_now
from storage.database.tables import RunRow, WorkerRow
from storage.files.blobs import BlobStore
from storage.runs.claim import claim_next
from tests.doctor.deployments import (
    add_listening_worker,
    make_settings,
    messages,
    open_database,
)
from tests.storage.conftest import Store


@pytest.mark.parametrize("revision", ["0001", "0008"])
def test_an_earlier_schema_is_an_error(home: Path, revision: str) -> None:
    settings = make_settings(home)
    with open_database(settings) as db:
        db.downgrade(revision)
    assert "richregime db upgrade" in messages(check_database(settings), "database", Level.ERROR)


def test_a_later_schema_is_a_warning(home: Path) -> None:
    settings = make_settings(home)
    with open_database(settings) as db, db.write() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "later version" in messages(check_database(settings), "database", Level.WARNING)


def test_a_missing_database_is_reported_and_not_created(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    assert "RICHREGIME_HOME" in messages(check_database(settings), "database", Level.WARNING)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_database_is_an_error(home: Path) -> None:
    (home / "richregime.sqlite3").write_bytes(b"not a database" * 1000)
    assert "does not respond" in messages(
        check_database(make_settings(home)), "database", Level.ERROR
    )


def test_an_unreachable_database_is_reported_without_its_password(home: Path) -> None:
    settings = make_settings(
        home, database_url="postgresql://richregime:secret-word@127.0.0.1:1/richregime"
    )
    found = messages(check_database(settings), "database", Level.ERROR)
    assert "RICHREGIME_DATABASE_URL" in found
    assert "secret-word" not in found


def test_missing_outdated_and_skewed_workers_are_reported(home: Path) -> None:
    settings = make_settings(home)
    assert "richregime worker" in messages(check_database(settings), "workers", Level.ERROR)
    with open_database(settings) as db:
        worker = add_listening_worker(db, richregime="0.0.1")
        with db.write() as session:
            session.get_one(WorkerRow, worker).clock_ahead_seconds = -90.0
        Store(db).submit(device_class="gpu")
    found = messages(check_database(settings), "workers", Level.WARNING)
    assert "1 min 30 s behind the database's" in found
    assert "has version 0.0.1" in found
    assert "--device gpu" in found


def test_a_stuck_run_is_reported_with_its_reason(home: Path) -> None:
    settings = make_settings(home)
    with open_database(settings) as db:
        _, (run_id,) = Store(db).submit()
        claimed = claim_next(
            db, worker="host-1:1:2", device_class="cpu", device="cpu", lease_seconds=60
        )
        assert claimed is not None
        assert "none is stuck" in messages(check_database(settings), "runs", Level.OK)
        for column, reason in (
            ("lease_until", "was not queued again"),
            ("progress_at", "no step for"),
        ):
            with db.write() as session:
                now = database_now(session)
                run = session.get_one(RunRow, run_id)
                run.lease_until = now + timedelta(seconds=60)
                setattr(run, column, now - timedelta(hours=1))
            found = messages(check_database(settings), "runs", Level.ERROR)
            assert run_id in found
            assert reason in found


def test_a_run_that_waits_although_a_slot_is_free_is_an_error(healthy: Settings) -> None:
    with open_database(healthy) as db:
        Store(db).submit()
        with db.write() as session:
            session.execute(
                update(RunRow).values(created_at=database_now(session) - timedelta(minutes=5))
            )
    assert "2 slots are free" in messages(check_database(healthy), "runs", Level.ERROR)


def test_leftover_resume_state_and_unreferenced_files_are_reported(home: Path) -> None:
    settings = make_settings(home)
    blobs = BlobStore(home / "blobs")
    for number in range(120):
        blob = blobs.put(f"file {number}".encode())
        os.utime(blobs.path(blob.sha256), (0, 0))
    with open_database(settings) as db:
        store = Store(db)
        store.submit()
        claimed = store.claim()
        with db.write() as session:
            session.connection().exec_driver_sql(
                "INSERT INTO artifact (id, run_id, role, name, fence, media_type, sha256, "
                "num_bytes, created_at) "
                f"VALUES ('art_1', '{claimed.run_id}', 'resume', 'resume', 1, 'x', '{'0' * 64}', "
                "7, '2026-01-01')"
            )
        store.finish(claimed.run_id, claimed.fence)
    found = messages(check_database(settings), "leftovers", Level.WARNING)
    assert "1 files" in found
    assert "120 unreferenced files" in found
    assert "richregime gc" in found


def test_a_public_address_without_a_key_is_reported(home: Path) -> None:
    public = make_settings(home, host="0.0.0.0")
    assert "keys create" in messages(check_database(public), "access", Level.ERROR)
    behind = make_settings(home, host="0.0.0.0", allow_public=True)
    assert "proxy" in messages(check_database(behind), "access", Level.WARNING)
    assert "no key is required" in messages(check_database(make_settings(home)), "access", Level.OK)
    with open_database(public) as db, db.write() as session:
        create_key(session, owner="ada", scopes=[Scope.READ], lifetime=None)
    assert "a key is required" in messages(check_database(public), "access", Level.OK)
