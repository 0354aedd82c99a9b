"""A database that does not answer, or is damaged, is one line of every command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.environment import without_leftovers

ROOT = Path(__file__).parents[2]
UNREACHABLE = "postgresql://me:hunter2@127.0.0.1:1/richregime"
COMMANDS = (
    "keys list",
    "keys create --owner ada",
    "db upgrade",
    "db copy --to sqlite:///{folder}/copied.sqlite3",
    "backup {folder}/backup",
    "restore {folder}/stored",
    "gc --older-than 0",
    "api --port 0",
    "up --port 0",
)


def run(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command with a home that stores one file."""
    home = folder / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "blobs" / "ab").mkdir(parents=True, exist_ok=True)
    (home / "blobs" / "ab" / ("ab" * 32)).touch()
    # `up` names the variables that it ignores in a line of its own.
    inherited = without_leftovers(os.environ)
    own = {name: value for name, value in inherited.items() if "RICHREGIME" not in name}
    words = command.format(folder=folder).split()
    return subprocess.run(
        [sys.executable, "-P", "-m", "richregime", *words],
        cwd=folder,
        env={**own, "PYTHONPATH": str(ROOT), "RICHREGIME_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def stored(tmp_path: Path, sqlite_template: Path) -> Path:
    """A complete backup without experiments."""
    folder = tmp_path / "stored"
    (folder / "files").mkdir(parents=True)
    (folder / "backup.json").write_text("{}")
    shutil.copyfile(sqlite_template, folder / "richregime.sqlite3")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unreachable_database_is_one_line(command: str, stored: Path, tmp_path: Path) -> None:
    failed = run(command, tmp_path, RICHREGIME_DATABASE_URL=UNREACHABLE)
    assert failed.returncode == 1, failed.stderr
    assert failed.stderr.count("\n") == 1, failed.stderr
    assert "the database cannot be used: " in failed.stderr
    assert "Connection refused" in failed.stderr
    assert "check RICHREGIME_DATABASE_URL" in failed.stderr
    assert "hunter2" not in failed.stderr


@pytest.mark.parametrize("command", [one for one in COMMANDS if not one.startswith("restore")])
def test_a_damaged_database_file_is_one_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "richregime.sqlite3").write_text("no database at all" * 100)
    failed = run(command, tmp_path)
    assert failed.returncode == 1, failed.stderr
    assert failed.stderr.count("\n") == 1, failed.stderr
    assert "the database cannot be used: file is not a database" in failed.stderr


@pytest.mark.parametrize("url", ["foo://id:hunter2@bucket/x", "s3://id:hunter2@bucket", "az://x"])
def test_an_object_store_that_cannot_be_opened_is_one_line(url: str, tmp_path: Path) -> None:
    failed = run("gc", tmp_path, RICHREGIME_BLOB_URL=url)
    assert failed.returncode in (1, 2), failed.stderr
    assert failed.stderr.count("\n") == 1, failed.stderr
    assert "RICHREGIME_BLOB_URL" in failed.stderr
    assert "hunter2" not in failed.stderr
