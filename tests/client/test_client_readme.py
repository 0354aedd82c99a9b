"""The examples of the client's README run as written, and its table lists every error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from richregime import errors
from richregime.commands.shared import ExitCode

pytestmark = [pytest.mark.xdist_group("whole_service"), pytest.mark.timeout(600)]

README = (Path(__file__).parents[2] / "client" / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SESSIONS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def run(command: list[str], url: str, folder: Path) -> str:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "RICHREGIME_URL": url, "PATH": programs},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_python_example_runs(number: int, service_url: str, tmp_path: Path) -> None:
    expected = ("succeeded 1.0", "#/spec/epochs", "[0.")[number]
    assert expected in run([sys.executable, "-c", PROGRAMS[number]], service_url, tmp_path)


def test_the_command_line_example_runs(service_url: str, tmp_path: Path) -> None:
    (session,) = SESSIONS
    assert "±" in run(["sh", "-eu", "-c", session], service_url, tmp_path)
    assert (tmp_path / "tables" / "results.csv").is_file()
    assert list(tmp_path.glob("*-learning_curve.pdf"))


def test_the_table_of_errors_is_the_tree_of_errors() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", README, re.MULTILINE))
    drawn = dict(re.findall(r"^[├└]── (\w+) +(.*)$", errors.__doc__ or "", re.MULTILINE))
    assert rows == drawn


def test_every_exit_code_is_listed() -> None:
    listed = README.rpartition("Exit codes:")[2]
    assert [int(code) for code in re.findall(r"\d", listed)] == [*map(int, ExitCode)]
