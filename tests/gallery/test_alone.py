"""The gallery's entries by the engine alone: records as a service computes them, resumable."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.gpu_session import Step, list_steps, run_step
from engine.experiments.registry import presets
from ops.gallery import alone
from ops.gallery.entries import list_entries

DOCS = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture
def one_tiny_preset(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an entry whose preset is made small."""
    body = presets()["fig16b", "quick"].body
    tiny = {"name": "digits", "train_size": 64, "test_size": 32}
    monkeypatch.setitem(body["spec"], "data", tiny)
    monkeypatch.setitem(body["spec"], "epochs", 1)
    monkeypatch.setitem(body["sweep"], "model.width", [2, 3])
    return "fig16b"


def call(name: str, folder: Path, seconds: float) -> int:
    where = ["--data-dir", str(folder), "--out", str(folder / "out"), "--device", "cpu"]
    return alone.main([name, *where, "--quick", "--seconds", str(seconds)])


def test_a_record_has_the_fields_of_one_that_a_service_computed(
    one_tiny_preset: str, tmp_path: Path
) -> None:
    assert call(one_tiny_preset, tmp_path, 0.0) == alone.TIME_LIMIT_REACHED
    assert not (tmp_path / "out" / f"{one_tiny_preset}.json").exists()
    assert call(one_tiny_preset, tmp_path, 100.0) == 0
    written = tmp_path / "out" / f"{one_tiny_preset}.json"
    record = json.loads(written.read_text())
    stored = json.loads((DOCS / "fig16a-trainable.json").read_text())
    assert record.keys() == stored.keys()
    assert [point["point"] for point in record["points"]] == [
        {"model.width": 2},
        {"model.width": 3},
    ]
    assert record["points"][0].keys() == stored["points"][0].keys()
    for plot in record["plots"]:
        assert (tmp_path / "out" / f"{one_tiny_preset}-{plot}.png").stat().st_size > 1_000
    before = written.stat().st_mtime_ns
    assert call(one_tiny_preset, tmp_path, 100.0) == 0
    assert written.stat().st_mtime_ns == before, "what is written is not computed again"


def test_every_experiment_of_the_gpu_session_is_an_entry(tmp_path: Path) -> None:
    known = {entry.name for entry in list_entries()}
    steps = list(list_steps(tmp_path, tmp_path, is_rehearsal=False))
    assert [step.name for step in steps][:2] == ["tests", "goals"]
    for step in steps[2:]:
        names = step.command[3 : step.command.index("--data-dir")]
        assert set(names) <= known


def test_a_step_that_succeeded_is_not_run_again_and_one_that_failed_is(tmp_path: Path) -> None:
    code = "import sys; print('called'); sys.exit({})"
    deadline = float("inf")
    for name, exit_code, calls in (("good", 0, 1), ("bad", 1, 2)):
        step = Step(name, (sys.executable, "-c", code.format(exit_code)), 60.0)
        assert [run_step(step, tmp_path, deadline).exit_code for _ in range(2)] == [exit_code] * 2
        assert (tmp_path / f"{name}.log").read_text().count("called") == calls


def test_a_step_ends_when_its_time_is_over(tmp_path: Path) -> None:
    step = Step("slow", (sys.executable, "-c", "import time; time.sleep(60)"), 10.5)
    ended = run_step(step, tmp_path, float("inf"))
    assert (ended.exit_code, ended.detail) == (None, "ended as its time was over")
    assert run_step(step, tmp_path, 0.0).detail == "no time was left"
