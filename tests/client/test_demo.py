"""The demo as a newcomer runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.experiments.registry import presets

ROOT = Path(__file__).parents[2]


def processes_naming(text: str) -> list[str]:
    """Command lines and environments of live processes that hold the text (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                held = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue  # it has ended, or is another user's
            if text.encode() in held:
                found.append(entry.name)
    return found


@pytest.mark.slow
def test_the_demo_draws_real_results_and_leaves_nothing_running(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "richregime", "demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "±" in done.stdout
    out = tmp_path / "demo"
    for plot in presets()["demo", "quick"].plots:
        assert (out / f"{plot}.png").read_bytes().startswith(b"\x89PNG")
        assert json.loads((out / f"{plot}.json").read_text())
    points = json.loads((out / "result.json").read_text())["points"]
    accuracies = [point["test_accuracy"]["mean"] for point in points]
    assert accuracies == sorted(accuracies), "wider nets are better"
    assert accuracies[-1] > 0.9
    assert (out / "metrics.csv").read_text().startswith("point,seed,name,step,value\n")
    assert list(scratch.iterdir()) == []
    assert processes_naming(str(scratch)) == []
