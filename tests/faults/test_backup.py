"""Backups of a service under load, restores, and moves from one database to the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select as select_rows
from sqlalchemy import text
from sqlmodel import SQLModel, select

from ops import backup
from ops.backup import BackupRefused, back_up, restore
from runtime.settings import Settings
from storage.database.copy import copy_database, count_rows
from storage.database.engine import Database, as_utc
from storage.database.tables import ArtifactRow, ExperimentRow
from storage.errors import CopyRefused
from storage.files.blobs import BlobStore
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.faults.in_process_worker import InProcessWorker
from tests.faults.invariants import assert_invariants
from tests.postgres import new_database
from tests.waiting import wait_until

BODY: dict[str, Any] = {"spec": {"kind": "train", "epochs": 1}, "reuse": False}


def open_home(home: Path, url: str | None = None) -> tuple[Settings, Database, BlobStore]:
    settings = make_settings(home, database_url=url)
    return settings, Database(settings.resolved_database_url), BlobStore(settings.resolved_blob_dir)


def content(db: Database) -> dict[str, list[Any]]:
    """Every row of some tables, as Python values; times to the second."""
    found: dict[str, list[Any]] = {}
    with db.read() as session:
        for name in ("experiment", "artifact", "metric", "event"):
            rows = session.execute(select_rows(SQLModel.metadata.tables[name])).mappings()
            found[name] = sorted((_without_zones(row) for row in rows), key=str)
    return found


def _without_zones(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        name: as_utc(value).isoformat() if isinstance(value, datetime) else value  # type: ignore[union-attr]
        for name, value in row.items()
    }


@pytest.fixture
def busy(worker: InProcessWorker) -> InProcessWorker:
    """A home with a finished experiment, one with a queued run, and their files."""
    worker.submit(
        {
            "kind": "train",
            "epochs": 2,
            "data": {"name": "synthetic", "train_size": 64, "test_size": 32},
        },
        (0, 1),
        name="größer 🙂",
    )
    worker.work_until_idle()
    worker.submit({"kind": "train", "epochs": 3}, (5,), name="queued")
    return worker


def test_a_database_moves_to_postgres_and_back_without_a_change(
    busy: InProcessWorker, postgres_server: str, tmp_path: Path
) -> None:
    with new_database(postgres_server) as url:
        moved = Database(url)
        counts = copy_database(busy.db, moved)
        assert counts == count_rows(busy.db)
        assert counts["experiment"] == 2
        assert counts["metric"] > 0
        back = Database(f"sqlite:///{tmp_path / 'back.sqlite3'}")
        copy_database(moved, back)
        assert content(back) == content(busy.db) == content(moved)
        with pytest.raises(CopyRefused, match="holds rows"):
            copy_database(busy.db, moved)
        with pytest.raises(CopyRefused, match=r"holds rows|exists"):
            copy_database(moved, back)
        moved.dispose()
        back.dispose()


def test_a_damaged_row_is_named_and_nothing_is_copied(
    busy: InProcessWorker, postgres_server: str
) -> None:
    with busy.db.write() as session:
        session.execute(text("UPDATE experiment SET spec = '{\"kind' WHERE name = 'queued'"))
    with new_database(postgres_server) as url:
        target = Database(url)
        with pytest.raises(CopyRefused, match="experiment"):
            copy_database(busy.db, target)
        assert set(count_rows(target).values()) == {0}
        target.dispose()


@pytest.fixture
def under_load(
    tmp_path: Path, sqlite_template: Path
) -> Iterator[tuple[ApiServer, threading.Event]]:
    """A service; until the event a thread submits to it, finishes the runs and deletes some."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    stopped = threading.Event()
    with serve_api(make_settings(home)) as api:

        def load() -> None:
            number = 0
            while not stopped.is_set():
                experiment_id = api.submit({**BODY, "seeds": [number]})["id"]
                api.finish_all_runs(experiment_id)
                number += 1
                if number % 3 == 0:
                    api.http.delete(f"/experiments/{experiment_id}")

        thread = threading.Thread(target=load)
        thread.start()
        yield api, stopped
        stopped.set()
        thread.join()


def test_a_backup_taken_under_load_restores_with_nothing_lost(
    under_load: tuple[ApiServer, threading.Event], tmp_path: Path
) -> None:
    api, stopped = under_load
    wait_until(lambda: api.count_experiments() > 5)
    accepted = [one["id"] for one in api.get("/experiments", limit=200)["items"][3:]]
    for _ in range(3):
        counts = back_up(api.settings, tmp_path / "backup")
    stopped.set()
    assert counts["experiments"] >= len(accepted)
    settings, db, blobs = open_home(tmp_path / "restored")
    assert restore(settings, tmp_path / "backup") == counts
    with db.read() as session:
        restored = set(session.scalars(select(ExperimentRow.id)))
        files = set(session.scalars(select(ArtifactRow.sha256)))
    with api.db.read() as session:
        kept = set(session.scalars(select(ExperimentRow.id)))
    assert set(accepted) & kept <= restored
    for sha256 in files:
        blobs.read(sha256)
    finished = [one for one in restored if _is_finished(db, one)]
    assert_invariants(db, blobs, finished)
    db.dispose()


def _is_finished(db: Database, experiment_id: str) -> bool:
    with db.read() as session:
        row = session.get_one(ExperimentRow, experiment_id)
        return row.finished_at is not None and row.summary is not None


def test_a_file_deleted_after_the_database_was_copied_is_in_the_backup(
    busy: InProcessWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = backup._copy_database

    def copy_then_delete(source: Database, folder: Path) -> Database:
        copied = copy(source, folder)
        for path in busy.settings.resolved_blob_dir.glob("??/*"):
            path.unlink()
        return copied

    monkeypatch.setattr(backup, "_copy_database", copy_then_delete)
    back_up(busy.settings, tmp_path / "backup")
    settings, db, blobs = open_home(tmp_path / "restored")
    restore(settings, tmp_path / "backup")
    with db.read() as session:
        digests = set(session.scalars(select(ArtifactRow.sha256)))
    assert digests
    for sha256 in digests:
        blobs.read(sha256)
    db.dispose()


def test_a_backup_is_restored_into_postgres(
    busy: InProcessWorker, tmp_path: Path, postgres_server: str
) -> None:
    back_up(busy.settings, tmp_path / "backup")
    with new_database(postgres_server) as url:
        settings, db, blobs = open_home(tmp_path / "restored", url)
        restore(settings, tmp_path / "backup")
        assert content(db) == content(busy.db)
        with db.read() as session:
            for sha256 in session.scalars(select(ArtifactRow.sha256)):
                assert blobs.read(sha256) == busy.blobs.read(sha256)
        db.dispose()


def test_an_existing_home_and_an_incomplete_backup_are_refused(
    busy: InProcessWorker, tmp_path: Path
) -> None:
    back_up(busy.settings, tmp_path / "backup")
    with pytest.raises(CopyRefused, match="exists"):
        restore(busy.settings, tmp_path / "backup")
    settings, db, _ = open_home(tmp_path / "restored")
    db.dispose()
    (tmp_path / "restored" / "richregime.sqlite3").unlink(missing_ok=True)
    (tmp_path / "backup" / "backup.json").unlink()
    with pytest.raises(BackupRefused, match=r"backup\.json is missing"):
        restore(settings, tmp_path / "backup")


def test_a_damaged_file_of_a_backup_is_refused(busy: InProcessWorker, tmp_path: Path) -> None:
    back_up(busy.settings, tmp_path / "backup")
    file = next((tmp_path / "backup" / "files").iterdir())
    file.write_bytes(file.read_bytes() + b" ")
    settings, db, _ = open_home(tmp_path / "restored")
    db.dispose()
    with pytest.raises(BackupRefused, match="damaged"):
        restore(settings, tmp_path / "backup")


def test_a_file_that_is_missing_is_reported(busy: InProcessWorker, tmp_path: Path) -> None:
    with busy.db.read() as session:
        lost = session.scalars(
            select(ArtifactRow.sha256).where(ArtifactRow.role != "resume").limit(1)
        ).one()
    busy.blobs.delete(lost)
    with pytest.raises(BackupRefused, match=lost):
        back_up(busy.settings, tmp_path / "backup")
    assert not (tmp_path / "backup" / "backup.json").exists()
