"""Home folders of users: `~` in paths, and users without a home folder, as containers have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NO_ENTRY = """import pwd

def getpwuid(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = getpwuid
"""


def run(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "sitecustomize.py").write_text(NO_ENTRY)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("HOME", "USER", "LOGNAME", "USERNAME")
        and not name.startswith("RICHREGIME_")
    }
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *arguments],
        env={**kept, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", [[], ["up"], ["keys"], ["gallery"], ["submit"]])
def test_help_needs_no_home_folder(tmp_path: Path, command: list[str]) -> None:
    shown = run(tmp_path, "-m", "richregime", *command, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")


def test_a_missing_home_folder_is_told_in_one_line(tmp_path: Path) -> None:
    refused = run(tmp_path, "-m", "richregime", "keys", "list")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "has no home folder: set RICHREGIME_HOME" in refused.stderr


def test_the_service_works_with_a_home_that_is_set(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "richregime", "keys", "list", RICHREGIME_HOME=str(tmp_path / "home"))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_programs_of_the_service_can_be_imported(tmp_path: Path) -> None:
    code = "import api.app, workers.tasks, ops.up, engine.plotting, richregime"
    done = run(tmp_path, "-c", code, RICHREGIME_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["import", "~/no-such.zip"], ["demo", "--out=~no-such-user/x"]],
)
def test_a_tilde_that_the_shell_left_is_expanded(tmp_path: Path, arguments: list[str]) -> None:
    refused = run(tmp_path, "-m", "richregime", *arguments, HOME="/the/home")
    assert refused.returncode == 2
    said = "".join(refused.stderr.split())
    assert "/the/home/no-such.zip" in said or "no-such-user" in said
