"""The doctor within: each way in which a deployment is broken, on one that really is."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import update
from typer.testing import CliRunner

from ops.broker import Broker
from ops.doctor.deployment import check_blobs, check_broker, check_database, examine
from ops.doctor.findings import Finding, Level, worst
from ops.doctor.local_checks import check_folder, check_variables
from richregime.cli import app
from runtime.settings import Settings
from schemas.access import Scope
from storage.access.keys import create_key
from storage.database.engine import Database, database_now
from storage.database.tables import RunRow, WorkerRow
from storage.delivery.wake_ups import socket_path
from storage.files.blobs import BlobStore
from storage.runs.claim import claim_next
from storage.runs.workers import note_worker_seen, register_worker
from tests.storage.conftest import Store

NOBODY = 65534


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path) -> Path:
    """With a database of this version and an empty store of files."""
    made = tmp_path / "home"
    (made / "blobs").mkdir(parents=True)
    shutil.copyfile(sqlite_template, made / "richregime.sqlite3")
    return made


@pytest.fixture
def healthy(home: Path, broker_server: str) -> Settings:
    """Its worker listens, its broker answers."""
    settings = settings_of(home, broker_url=f"unix://{broker_server}")
    with open_database(settings) as db:
        add_worker(db)
    return settings


def settings_of(home: Path, **values: Any) -> Settings:
    given = {"database_url": None, "broker_url": None, "blob_dir": None, "data_dir": None, **values}
    return Settings(home=home, **given)


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    db = Database(settings.resolved_database_url)
    yield db
    db.dispose()


def add_worker(db: Database, **versions: str) -> str:
    with db.write() as session:
        described = {
            "host": "lab",
            "pid": 1,
            "device": "cpu",
            "device_class": "cpu",
            "slots": 2,
            "memory_bytes": 1 << 30,
        }
        found = register_worker(
            session, **described, versions={"richregime": version("richregime"), **versions}
        )
        note_worker_seen(session, found)
        return found


def told(findings: Iterator[Finding], about: str, level: Level) -> str:
    """What is found about it at that level; there must be something."""
    found = list(findings)
    words = [
        f"{one.found}: {one.todo}" for one in found if (one.about, one.level) == (about, level)
    ]
    assert words, found
    return "\n".join(words)


def test_a_healthy_deployment_has_nothing_wrong(healthy: Settings) -> None:
    findings = list(examine(healthy))
    assert [one for one in findings if one.level is Level.WRONG] == []
    assert {one.about for one in findings} >= {
        *(
            "python",
            "packages",
            "home",
            "broker",
            "files",
            "database",
            "clock",
            "workers",
            "runs",
            "access",
        ),
        "leftovers",
    }
    assert list((healthy.home / "blobs").rglob("*.partial")) == []
    assert [path for path in (healthy.home / "blobs").rglob("*") if path.is_file()] == []


def test_a_broker_that_forgets_and_drops_and_then_is_stopped(settings: Settings) -> None:
    broker = Broker(settings)
    broker.start()
    try:
        assert "keeps its messages" in told(check_broker(settings), "broker", Level.OK)
        with Redis(unix_socket_path=socket_path(settings)) as connection:
            connection.config_set("appendonly", "no")
            connection.config_set("maxmemory", "100mb")
            connection.config_set("maxmemory-policy", "allkeys-lru")
        assert "noeviction" in told(check_broker(settings), "broker", Level.WRONG)
        assert "--appendonly yes" in told(check_broker(settings), "broker", Level.WARNING)
    finally:
        broker.stop()
    assert "`richregime up` starts it" in told(check_broker(settings), "broker", Level.WRONG)


@pytest.mark.parametrize("revision", ["0001", "0008"])
def test_an_old_schema(home: Path, revision: str) -> None:
    settings = settings_of(home)
    with open_database(settings) as db:
        db.downgrade(revision)
    assert "richregime db upgrade" in told(check_database(settings), "database", Level.WRONG)


def test_a_schema_of_a_later_version(home: Path) -> None:
    settings = settings_of(home)
    with open_database(settings) as db, db.write() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "later version" in told(check_database(settings), "database", Level.WARNING)


def test_no_database_is_told_and_none_is_made(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert "RICHREGIME_HOME" in told(check_database(settings), "database", Level.WARNING)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_database(home: Path) -> None:
    (home / "richregime.sqlite3").write_bytes(b"not a database" * 1000)
    assert "does not answer" in told(check_database(settings_of(home)), "database", Level.WRONG)


def test_a_database_that_is_not_there(home: Path) -> None:
    settings = settings_of(
        home, database_url="postgresql://richregime:secret-word@127.0.0.1:1/richregime"
    )
    found = told(check_database(settings), "database", Level.WRONG)
    assert "RICHREGIME_DATABASE_URL" in found
    assert "secret-word" not in found


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere: for this, be somebody who may not."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_home_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o555)
        with as_nobody():
            assert "cannot be written" in told(check_folder("home", home), "home", Level.WRONG)


def test_a_store_of_files_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "blobs").mkdir()
        for path in (Path(folder) / "blobs", Path(folder)):
            path.chmod(0o555)
        with as_nobody():
            found = told(check_blobs(settings_of(Path(folder))), "files", Level.WRONG)
    assert "check owner and disk" in found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_root_does_not_write_into_another_s_home() -> None:
    with tempfile.TemporaryDirectory() as folder:
        blobs = Path(folder) / "blobs"
        blobs.mkdir()
        for path in (blobs, Path(folder)):
            os.chown(path, NOBODY, NOBODY)
        assert "as that user" in told(check_folder("home", Path(folder)), "home", Level.WARNING)
        assert list(check_blobs(settings_of(Path(folder)))) == []
        assert list(blobs.iterdir()) == []


def test_a_bucket_that_is_not_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr("storage.files.s3.ObjectBlobStore.open", _open_without_retries)
    found = told(
        check_blobs(settings_of(home, blob_url="s3://bucket/prefix")), "files", Level.WRONG
    )
    assert "AWS_*" in found


def _open_without_retries(url: str, cache: Path) -> Any:
    from obstore.store import from_url

    from storage.files.s3 import ObjectBlobStore

    return ObjectBlobStore(from_url(url, retry_config={"max_retries": 0}), cache)


def test_disk_without_room(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(home)
    for free, level in ((1 << 30, Level.WARNING), (1 << 20, Level.WRONG)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, left=free: usage._replace(free=left))
        assert "richregime gc" in told(check_folder("home", home), "home", level)


def test_nobody_listens_and_then_somebody_of_another_version_with_a_wrong_clock(home: Path) -> None:
    settings = settings_of(home)
    assert "richregime worker" in told(check_database(settings), "workers", Level.WRONG)
    with open_database(settings) as db:
        worker = add_worker(db, richregime="0.0.1")
        with db.write() as session:
            session.execute(
                update(WorkerRow).where(WorkerRow.id == worker).values(clock_ahead_seconds=-90.0)
            )
        Store(db).submit(device_class="gpu")
    found = told(check_database(settings), "workers", Level.WARNING)
    assert "-90.0 s" in found
    assert "version 0.0.1" in found
    assert "--device gpu" in found


def test_a_run_that_nobody_takes_back(home: Path) -> None:
    settings = settings_of(home)
    with open_database(settings) as db:
        _, (run_id,) = Store(db).submit()
        claimed = claim_next(
            db, worker="lab:1:2", device_class="cpu", device="cpu", lease_seconds=60
        )
        assert claimed is not None
        assert "none is stuck" in told(check_database(settings), "runs", Level.OK)
        for column, words in (
            ("lease_until", "was not queued again"),
            ("progress_at", "no step for"),
        ):
            with db.write() as session:
                now = database_now(session)
                values = {
                    "lease_until": now + timedelta(seconds=60),
                    column: now - timedelta(hours=1),
                }
                session.execute(update(RunRow).where(RunRow.id == run_id).values(**values))
            found = told(check_database(settings), "runs", Level.WRONG)
            assert run_id in found
            assert words in found


def test_a_run_that_waits_beside_a_free_slot(healthy: Settings) -> None:
    with open_database(healthy) as db:
        Store(db).submit()
        with db.write() as session:
            session.execute(
                update(RunRow).values(created_at=database_now(session) - timedelta(minutes=5))
            )
    assert "2 slots are free" in told(check_database(healthy), "runs", Level.WRONG)


def test_resume_state_and_files_that_nobody_needs(home: Path) -> None:
    settings = settings_of(home)
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
                "INSERT INTO artifact (id, run_id, role, name, fence, media_type, sha256, num_bytes, created_at) "
                f"VALUES ('art_1', '{claimed.run_id}', 'resume', 'resume', 1, 'x', '{'0' * 64}', 7, '2026-01-01')"
            )
        store.finish(claimed.run_id, claimed.fence)
    found = told(check_database(settings), "leftovers", Level.WARNING)
    assert "1 files" in found
    assert "120 files" in found
    assert "richregime gc" in found


def test_an_open_address(home: Path) -> None:
    public = settings_of(home, host="0.0.0.0")
    assert "keys create" in told(check_database(public), "access", Level.WRONG)
    behind = settings_of(home, host="0.0.0.0", allow_public=True)
    assert "proxy" in told(check_database(behind), "access", Level.WARNING)
    assert "alone" in told(check_database(settings_of(home)), "access", Level.OK)
    with open_database(public) as db, db.write() as session:
        create_key(session, owner="ada", scopes=[Scope.READ], lifetime=None)
    assert "a key is asked for" in told(check_database(public), "access", Level.OK)


def test_a_misspelt_setting() -> None:
    environment = {
        "RICHREGIME_HOME": "/data",
        "RICHREGIME_CPU_WORKER": "3",
        "RICHREGIME_KEY": "x",
        "PATH": "y",
    }
    found = told(check_variables(environment), "settings", Level.WARNING)
    assert "RICHREGIME_CPU_WORKER" in found
    assert "RICHREGIME_HOME" not in found
    assert "RICHREGIME_KEY" not in found


def test_the_worst_finding_is_the_exit_code(healthy: Settings) -> None:
    run = CliRunner()
    environment = {"RICHREGIME_BROKER_URL": healthy.broker_url, "RICHREGIME_DATABASE_URL": None}
    done = run.invoke(
        app, ["doctor", "--json", "--home", str(healthy.home)], env=environment
    )
    assert '"about": "broker"' in done.stdout
    assert done.exit_code == worst(examine(healthy)), done.output
    environment["RICHREGIME_BROKER_URL"] = "redis://127.0.0.1:1"
    done = run.invoke(app, ["doctor", "--home", str(healthy.home)], env=environment)
    assert done.exit_code == 2
    assert "wrong    broker" in done.stdout
    assert "→ start it, or correct the address" in done.stdout
