"""The sessions of the README run as written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("whole_service")

ROOT = Path(__file__).parents[2]
WRITTEN_URL = "http://127.0.0.1:8000"


def block(heading: str, language: str) -> str:
    """The first code block of a language below a heading of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1]
    match = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert match is not None
    return match.group(1)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_session_runs(service_url: str, tmp_path: Path) -> None:
    session = block("With curl", "sh").replace(WRITTEN_URL, service_url)
    done = subprocess.run(
        ["sh", "-eu", "-c", session],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "event: end" in done.stdout
    assert '"standard_error"' in done.stdout
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_python_session_runs(service_url: str, tmp_path: Path) -> None:
    session = block("With Python", "python").replace(WRITTEN_URL, service_url)
    done = subprocess.run(
        [sys.executable, "-c", session],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model.width") == 2
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_example_scripts_run(service_url: str, tmp_path: Path) -> None:
    for script in ("submit_and_plot.py", "many_at_once.py"):
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / script)],
            cwd=tmp_path,
            env={"RICHREGIME_URL": service_url, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{script}: {done.stderr}"
    assert (tmp_path / "example-out" / "theta_T.safetensors").stat().st_size > 0
