"""The checks of this host: environment variables, folders, disks."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from ops.doctor.findings import Level, error
from ops.doctor.local_checks import check_folder, check_privacy, check_variables
from tests.doctor.deployments import as_unprivileged_user, make_settings, messages


def test_an_unwritable_home_is_an_error() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o555)
        with as_unprivileged_user():
            assert "is not writable" in messages(check_folder("home", home), "home", Level.ERROR)


def test_a_full_disk_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(home)
    for free, level in ((1 << 30, Level.WARNING), (1 << 20, Level.ERROR)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, left=free: usage._replace(free=left))
        assert "richregime gc" in messages(check_folder("home", home), "home", level)


def test_a_misspelt_setting_is_reported() -> None:
    environment = {
        "RICHREGIME_HOME": "/data",
        "RICHREGIME_CPU_WORKER": "3",
        "RICHREGIME_KEY": "x",
        "PATH": "y",
    }
    found = messages(check_variables(environment), "settings", Level.WARNING)
    assert "RICHREGIME_CPU_WORKER" in found
    assert "RICHREGIME_HOME" not in found
    assert "RICHREGIME_KEY" not in found


def test_a_home_that_other_users_can_read_is_reported(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    settings = make_settings(home)
    found = messages(check_privacy(settings), "privacy", Level.WARNING)
    assert str(home) in found
    assert "chmod -R go-rwx" in found
    home.chmod(0o700)
    (home / "blobs").mkdir(mode=0o755)
    assert list(check_privacy(settings)) == []
    files = tmp_path / "files"
    files.mkdir(mode=0o750)
    outside = make_settings(home, blob_dir=files)
    assert str(files) in messages(check_privacy(outside), "privacy", Level.WARNING)


def test_findings_show_no_password() -> None:
    found = error("files", "s3://id:hunter2@bucket failed", "correct s3://id:hunter2@bucket")
    assert (found.message, found.action) == (
        "s3://id:***@bucket failed",
        "correct s3://id:***@bucket",
    )
