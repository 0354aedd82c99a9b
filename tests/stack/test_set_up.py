"""The environments of `./run` and `./test`: found under every path, never removed while in use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUB = "install_with_uv() { :; }; find_python() { echo %s; }" % sys.executable  # noqa: UP031


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files of a checkout that set-up reads. Nothing is downloaded: a stub installs nothing."""
    folder = tmp_path / "checkout"
    (folder / "client").mkdir(parents=True)
    for name in ("setup.sh", "pyproject.toml", "constraints.txt", "client/pyproject.toml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def set_up(path: Path, extra: str = "", then: str = "") -> str:
    """The environment that a shell at `path` uses."""
    script = f'ROOT="{path}"; . "$ROOT/setup.sh"; {STUB}; setup_environment {extra}; '
    script += f'{then} echo "${{VENV##*/}}"'
    done = subprocess.run(
        ["sh", "-euc", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def inode(checkout: Path, name: str) -> int:
    return (checkout / ".venvs" / name / "bin" / "python").lstat().st_ino


def age(folder: Path, minutes: int) -> None:
    then = time.time() - 60 * minutes
    os.utime(folder, (then, then))


def test_a_moved_or_linked_checkout_uses_the_same_environment(checkout: Path) -> None:
    first = set_up(checkout)
    before = inode(checkout, first)
    link = checkout.parent / "other-name"
    link.symlink_to(checkout)
    moved = checkout.parent / "moved"
    assert set_up(link) == first
    checkout.rename(moved)
    assert set_up(moved) == first
    assert inode(moved, first) == before


def test_the_environment_of_the_tests_also_runs_the_service(checkout: Path) -> None:
    assert set_up(checkout, "test").endswith("-test")
    assert set_up(checkout).endswith("-test")


def test_an_environment_in_use_is_kept_when_dependencies_change(checkout: Path) -> None:
    old = set_up(checkout)
    users = checkout / ".venvs" / old / ".users"
    namespace = next(users.iterdir()).read_text()
    (users / str(os.getpid())).write_text(namespace)
    age(users, 20)
    (checkout / "constraints.txt").write_text("# other dependencies\n")
    new = set_up(checkout)
    assert new != old
    assert (checkout / ".venvs" / old / ".complete").exists()
    assert (checkout / ".venv").resolve().name == new


def test_an_unused_environment_is_removed_when_dependencies_change(checkout: Path) -> None:
    old = set_up(checkout)
    age(checkout / ".venvs" / old / ".users", 20)
    (checkout / "constraints.txt").write_text("# other dependencies\n")
    set_up(checkout)
    assert not (checkout / ".venvs" / old).exists()


def test_an_environment_that_another_container_uses_is_kept(checkout: Path) -> None:
    old = set_up(checkout)
    users = checkout / ".venvs" / old / ".users"
    (users / "1").write_text("pid:[1]\n")
    age(users, 20)
    (checkout / "constraints.txt").write_text("# other dependencies\n")
    set_up(checkout)
    assert (checkout / ".venvs" / old).exists()


def test_an_environment_with_a_missing_python_is_kept(checkout: Path) -> None:
    old = set_up(checkout)
    python = checkout / ".venvs" / old / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    new = set_up(checkout)
    assert new == f"{old}-2"
    assert os.readlink(python) == "/nowhere/python3"


def test_an_interrupted_set_up_is_repeated(checkout: Path) -> None:
    first = set_up(checkout)
    (checkout / ".venvs" / first / ".complete").unlink()
    assert set_up(checkout) == first
    assert (checkout / ".venvs" / first / ".complete").exists()


def test_a_link_to_run_uses_the_checkout_of_its_target(tmp_path: Path) -> None:
    link = tmp_path / "richregime"
    link.symlink_to(ROOT / "run")
    script = ROOT.joinpath("run").read_text().partition("setup_environment")[0]
    shown = subprocess.run(
        ["sh", "-euc", script + '\necho "$ROOT"', str(link)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert shown.stdout.strip() == str(ROOT.resolve())
