"""The home is for its own user alone; one that cannot be used is told in one line."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import api.app
import workers.entry
from ops.ports import free_port
from ops.up import Stack
from richregime import Client
from runtime.home import prepare_folder
from runtime.setting_errors import InvalidSetting
from tests.doctor.deployments import as_unprivileged_user

pytestmark = pytest.mark.timeout(300)


def open_paths(folder: Path) -> list[str]:
    """Files and folders that other users have any access to."""
    return [
        str(path.relative_to(folder))
        for path in (folder, *folder.rglob("*"))
        if stat.S_IMODE(path.lstat().st_mode) & 0o077 and not path.is_symlink()
    ]


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """Files are readable for all by default."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def make_open_home(home: Path) -> None:
    """As an earlier version left it."""
    for name in ("richregime.sqlite3", "richregime.sqlite3-wal", "blobs/ab/abc", "logs/api.log"):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        path.chmod(0o644)


def test_an_existing_home_is_tightened_once(tmp_path: Path, usual_umask: None) -> None:
    home = tmp_path / "home"
    make_open_home(home)
    outside = tmp_path / "outside"
    outside.write_text("")
    (home / "link").symlink_to(outside)
    prepare_folder("home", home)
    assert open_paths(home) == []
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
    assert stat.S_IMODE((home / "logs/api.log").stat().st_mode) == 0o600


def test_a_new_home_is_private(tmp_path: Path, usual_umask: None) -> None:
    prepare_folder("home", tmp_path / "a" / "home")
    assert open_paths(tmp_path / "a" / "home") == []


@pytest.mark.parametrize("process", ["api", "worker"])
def test_a_process_that_is_started_alone_makes_private_files(
    tmp_path: Path,
    sqlite_template: Path,
    usual_umask: None,
    monkeypatch: pytest.MonkeyPatch,
    process: str,
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    monkeypatch.setenv("RICHREGIME_HOME", str(tmp_path))
    masks: list[int] = []

    def note_mask(*arguments: Any, **options: Any) -> int:
        masks.append(os.umask(0o022))
        return 0

    monkeypatch.setattr("uvicorn.run", note_mask)
    monkeypatch.setattr("workers.parent.Worker.run", note_mask)
    main = api.app.main if process == "api" else workers.entry.main
    assert main([]) == 0
    assert masks == [0o077]


def test_a_folder_that_users_share_keeps_its_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    prepare_folder("home", tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777


def test_the_path_of_a_services_home_may_have_any_character(tmp_path: Path) -> None:
    home = tmp_path / "a?b #c%20 é"
    home.mkdir()
    with Stack(home, free_port()) as stack, Client(stack.url) as client:
        experiment = client.submit({"spec": {"kind": "train", "epochs": 1}})
        assert client.wait(experiment.id, timeout=120).status == "succeeded"
        assert (home / "logs" / "api.log").exists()


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSetting, match="file is a file; name a folder"):
        prepare_folder("RICHREGIME_HOME", tmp_path / "file")
    with pytest.raises(InvalidSetting, match=r"a part of .* is a file"):
        prepare_folder("RICHREGIME_HOME", tmp_path / "file" / "home")


def test_a_home_that_is_read_only_or_of_another_user_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        parent = Path(folder)
        parent.chmod(0o755)
        home = parent / "home"
        home.mkdir(mode=0o755)
        with as_unprivileged_user():
            with pytest.raises(InvalidSetting, match="not writable for user 65534") as refused:
                prepare_folder("RICHREGIME_HOME", home)
            assert str(refused.value).startswith(f"RICHREGIME_HOME: {home} ")
            with pytest.raises(InvalidSetting, match="cannot be made by user 65534"):
                prepare_folder("RICHREGIME_HOME", parent / "other")
        home.chmod(0o700)
        with as_unprivileged_user(), pytest.raises(InvalidSetting):
            prepare_folder("RICHREGIME_HOME", home / "inside")
