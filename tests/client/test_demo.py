"""The command `richregime demo`."""

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
    """Ids of processes with the text in their command line or environment (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text_of = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue  # it has ended, or belongs to another user
            if text.encode() in text_of:
                found.append(entry.name)
    return found


@pytest.mark.slow
def test_the_demo_writes_results_and_leaves_no_process(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    variables = {
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(scratch),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "torch"),  # torch never deletes its cache
    }
    done = subprocess.run(
        [sys.executable, "-m", "richregime", "demo"],
        cwd=tmp_path,
        env={**os.environ, **variables},
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
