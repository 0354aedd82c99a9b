"""Back up a service, also one that runs, into a folder; restore it into an empty home.

The folder holds the database as a SQLite file, whichever database the service uses, and every
stored file that it refers to.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from runtime.settings import Settings
from runtime.version import SERVICE_VERSION
from storage.database.copy import copy_database, count_rows
from storage.database.engine import Database
from storage.errors import CorruptBlob, NotFound
from storage.files.artifacts import list_referenced_blobs
from storage.files.blobs import BlobStore, open_blobs

DATABASE, FILES, DESCRIPTION = "richregime.sqlite3", "files", "backup.json"
ATTEMPTS = 5


class BackupRefused(RuntimeError):
    """The backup or the restore cannot be done; the message says why."""


def back_up(settings: Settings, folder: Path) -> dict[str, int]:
    """Copy database and files to `folder`; returns the numbers of experiments, files and bytes.

    Files that an earlier backup left there are kept. A file may be deleted with its experiment
    after the database was copied; then both are copied again. Raises BackupRefused, and OSError.
    """
    files = folder / FILES
    files.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    store, source = open_blobs(settings), Database(settings.resolved_database_url)
    try:
        for _ in range(ATTEMPTS):
            _copy_files(store, source, files)
            copied = _copy_database(source, folder)
            try:
                missing = _copy_files(store, copied, files)
                counts = _describe(copied, files)
            finally:
                copied.dispose()
            if not missing:
                break
        else:
            raise BackupRefused(
                f"files that the database refers to are missing, such as {missing[0]}; "
                "run `richregime doctor`"
            )
    finally:
        source.dispose()
    described = {"version": SERVICE_VERSION, "at": datetime.now(UTC).isoformat(), **counts}
    (folder / DESCRIPTION).write_text(json.dumps(described, indent=1) + "\n")
    return counts


def restore(settings: Settings, folder: Path) -> dict[str, int]:
    """Copy a backup into the home and database of `settings`, which must be empty.

    Runs that were under way are queued again when their lease expires, and continue from their
    saved state. Raises BackupRefused, CopyRefused, and OSError.
    """
    if not (folder / DESCRIPTION).is_file():
        raise BackupRefused(f"{folder} holds no complete backup: {DESCRIPTION} is missing")
    store = open_blobs(settings)
    source = Database(f"sqlite:///{folder / DATABASE}")
    target = Database(settings.resolved_database_url)
    try:
        source.require_schema()
        for file in sorted((folder / FILES).iterdir()):
            with store.scratch() as scratch:
                shutil.copyfile(file, scratch)
                if store.put_file(scratch).sha256 != file.name:
                    raise BackupRefused(f"the file {file} is damaged")
        copy_database(source, target)
        return _describe(target, folder / FILES)
    finally:
        source.dispose()
        target.dispose()


def _copy_database(source: Database, folder: Path) -> Database:
    partial = folder / f"{DATABASE}.partial"
    partial.unlink(missing_ok=True)
    copied = Database(f"sqlite:///{partial}")
    copy_database(source, copied)
    copied.dispose()
    for name in (f"{partial}-wal", f"{partial}-shm"):
        Path(name).unlink(missing_ok=True)
    partial.chmod(0o600)
    partial.replace(folder / DATABASE)
    return Database(f"sqlite:///{folder / DATABASE}")


def _copy_files(store: BlobStore, db: Database, files: Path) -> list[str]:
    """Copy what is not there yet; returns the digests of needed files that are missing."""
    missing = []
    with db.read() as session:
        referenced = list_referenced_blobs(session)
    for sha256, is_needed in referenced.items():
        path = files / sha256
        if path.exists():
            continue
        partial = path.with_suffix(".partial")
        try:
            partial.write_bytes(store.read(sha256))
        except (NotFound, CorruptBlob):
            # Resume state is deleted when a later one is saved; a run can do without it.
            if is_needed:
                missing.append(sha256)
            continue
        partial.chmod(0o600)
        partial.replace(path)
    return missing


def _describe(db: Database, files: Path) -> dict[str, int]:
    sizes = [file.stat().st_size for file in files.iterdir()]
    return {
        "experiments": count_rows(db)["experiment"],
        "files": len(sizes),
        "bytes": sum(sizes),
    }
