"""SQLite on a network file system, and on two hosts, is told by the doctor and at the start."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ops.doctor.file_system_check import check_file_system
from ops.doctor.findings import Level
from runtime import file_system
from runtime.file_system import network_type_of
from storage.database import shared_files
from storage.database.engine import Database
from storage.runs.workers import register_worker
from tests.doctor.deployments import make_settings, messages, open_database

ROOT = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"


def mount(patch: pytest.MonkeyPatch, tmp_path: Path, folder: Path | str, kind: str) -> None:
    """Let the kernel report a file system of this type, mounted at the folder."""
    table = tmp_path / "mountinfo"
    escaped = str(folder).replace(" ", "\\040")
    table.write_text(f"{ROOT}23 22 0:50 / {escaped} rw,relatime shared:7 - {kind} host:/home rw\n")
    patch.setattr(file_system, "MOUNTS", table)
    shared_files.warn_of_network_file.cache_clear()


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "fuse.sshfs", "fuse.s3fs"]
)
def test_network_file_systems_are_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mount(monkeypatch, tmp_path, "/mnt/lab share", kind)
    assert network_type_of(Path("/mnt/lab share/ada/richregime.sqlite3")) == kind
    assert network_type_of(Path("/mnt/lab shared/richregime.sqlite3")) is None
    assert network_type_of(Path("/var/richregime.sqlite3")) is None


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "zfs"])
def test_local_file_systems_are_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mount(monkeypatch, tmp_path, "/mnt", kind)
    assert network_type_of(Path("/mnt/richregime.sqlite3")) is None


def test_the_last_of_two_mounts_on_a_folder_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount(monkeypatch, tmp_path, "/", "nfs4")
    assert network_type_of(Path("/home")) == "nfs4"


def test_nothing_is_told_where_the_system_lists_no_mounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_system, "MOUNTS", tmp_path / "none")
    assert network_type_of(tmp_path) is None


def test_the_doctor_warns_of_a_network_file_system(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(home)
    assert messages(check_file_system(settings), "file system", Level.OK)
    mount(monkeypatch, tmp_path, home, "nfs4")
    found = messages(check_file_system(settings), "file system", Level.WARNING)
    assert "network file system (nfs4)" in found
    assert "RICHREGIME_DATABASE_URL" in found


def test_each_process_logs_it_once(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mount(monkeypatch, tmp_path, home, "nfs4")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            Database(make_settings(home).resolved_database_url).dispose()
    assert caplog.text.count("network file system (nfs4)") == 1


def test_workers_of_two_hosts_on_one_sqlite_file_are_an_error(home: Path) -> None:
    settings = make_settings(home)
    for host in ("attic", "cellar"):
        with open_database(settings) as db, db.write() as session:
            register_worker(
                session,
                host=host,
                pid=1,
                device="cpu",
                device_class="cpu",
                slots=1,
                memory_bytes=0,
                versions={},
            )
    found = messages(check_file_system(settings), "file system", Level.ERROR)
    assert "attic, cellar" in found
    assert "Postgres" in found
