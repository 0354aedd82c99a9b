"""Threads that wait for one another give their cores to other programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.threads import SPINS, wait_briefly

ROOT = Path(__file__).parents[2]


def test_a_value_of_the_user_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == str(SPINS)


def test_the_engine_alone_sets_it_before_torch_is_loaded(tmp_path: Path) -> None:
    """The library of the threads reads the variable when it is loaded, and can show it then."""
    spec = {"kind": "train", "epochs": 0, "data": {"name": "digits", "train_size": 20}}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    found = subprocess.run(
        [sys.executable, "-m", "engine", "run", "spec.json", "--out", "out"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT), "OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert f"GOMP_SPINCOUNT = '{SPINS}'" in found.stderr
