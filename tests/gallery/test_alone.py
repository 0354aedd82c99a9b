"""The gallery's entries by the engine alone: records as a service computes them, resumable."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import gpu_session
from benchmarks.gpu_session import GOALS, Step, list_steps, run_step
from benchmarks.page import TITLES
from engine.experiments.registry import presets
from ops.gallery import alone
from ops.gallery.entries import BEYOND_TWO_CORES
from schemas.submission import Submission

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
    return alone.main([name, *where, "--entries", "quick", "--seconds", str(seconds)])


def test_a_record_has_the_fields_of_one_that_a_service_computed(
    one_tiny_preset: str, tmp_path: Path
) -> None:
    assert call(one_tiny_preset, tmp_path, 0.0) == alone.TIME_LIMIT_REACHED
    assert not (tmp_path / "out" / f"{one_tiny_preset}.json").exists()
    (folder,) = (tmp_path / "out" / "work").iterdir()
    (folder / "result.json").write_text("of the points before the time was over")
    assert call(one_tiny_preset, tmp_path, 100.0) == 0
    written = tmp_path / "out" / f"{one_tiny_preset}.json"
    record = json.loads(written.read_text())
    stored = json.loads((DOCS / "fig16a-trainable.json").read_text())
    assert record.keys() == stored.keys()
    assert not record["reused_trainings"], "a call that continues an interrupted one trains itself"
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


def test_the_gpu_session_trains_each_experiment_of_the_paper_once(tmp_path: Path) -> None:
    steps = list(list_steps(tmp_path, tmp_path, is_rehearsal=False))
    first = len(GOALS) + 1
    assert [step.name for step in steps][:first] == ["tests", *GOALS]
    assert set(GOALS) == {name for name in TITLES if name.startswith("gpu")}
    assert steps[-1].name == "known"
    trainings = steps[first:-1]
    called = [step.command[3 : step.command.index("--data-dir")] for step in trainings]
    assert called == [
        ("fig10a", "fig11a"),
        ("fig7a", "fig8a"),
        ("fig2-first_epoch",),
        ("table1",),
        ("fig6",),
        ("fig19",),
        ("fig9a", "fig12a"),
    ]
    for step in trainings:
        assert step.command[-4:] == ("--entries", "paper", "--device", "cuda")


def test_entries_beyond_two_cores_are_the_paper_s_and_are_accepted() -> None:
    for entry in BEYOND_TWO_CORES:
        body = entry.body()
        Submission.model_validate(body)
        assert (entry.find_preset().scale, len(body["seeds"])) == ("paper", 5)
    assert BEYOND_TWO_CORES[4].body()["sweep"]["model.width"][-1] == 100_000


def test_an_unknown_name_is_refused_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        alone.main(["fig10a", "fig99", *where, "--entries", "paper", "--seconds", "1"])
    assert "there is no entry fig99: fig10a, fig11a" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        alone.main(["fig23", *where, "--seconds", "1"])
    assert "fig23 needs cifar10-jpeg.npz in --data-dir" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        gpu_session.main(["--minutes", "1", "--only", "gpu", "fig99", *where])
    assert "there is no step fig99: tests, gpu, gpu_layers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_rehearsal_is_no_part_of_the_session(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    step = Step("good", (sys.executable, "-c", "pass"), 60.0)
    monkeypatch.setattr(gpu_session, "list_steps", lambda *_, **__: iter([step]))
    call = ["--minutes", "1", "--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]
    assert gpu_session.main([*call, "--rehearse"]) == 0
    assert not (tmp_path / "out" / "good.step.json").exists()
    assert (tmp_path / "out" / "rehearsal" / "good.step.json").exists()


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
