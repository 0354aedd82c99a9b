"""A local run that was killed, or is called again, gives the files of an undisturbed run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.errors import OutputInUse
from engine.experiments.registry import get_kind, kinds
from engine.local import LocalRunContext, run_local

SMALL: dict[str, Any] = {
    "model": {"name": "relu_net", "width": 4, "depth": 2},
    "data": {"name": "digits", "train_size": 96, "test_size": 64},
    "batch_size": 16,
    "epochs": 6,
}
FEWER_TRAININGS: dict[str, dict[str, Any]] = {
    "sparse_train": {"shares_percent": [10]},
    "lottery": {"rounds": 1},
    "connectivity": {"splits": {"steps": [0, 7]}, "points": 3},
}
"""Of the kinds that train often"""
WITH_TIMES = ("training-", "resume", "identity")


class Killed(BaseException):
    """Simulates SIGKILL: the engine does not catch it."""


def body_of(kind: str) -> Mapping[str, Any]:
    example = get_kind(kind).example
    swept = {"optimizer.lr": [0.001, 0.01]}
    spec = {**example["spec"], **SMALL, **FEWER_TRAININGS.get(kind, {})}
    return {"spec": spec, "sweep": swept}


def run(body: Mapping[str, Any], out: Path) -> None:
    run_local(body, out, seeds=[0, 1], data_dir=out, device="cpu")


def test_a_run_under_a_time_limit_continues_to_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock advances by a second a check; each call has ten of them."""
    body = body_of("train")
    whole, limited = tmp_path / "whole", tmp_path / "limited"
    run(body, whole)
    now = 0.0

    def tick() -> float:
        nonlocal now
        now += 1.0
        return now

    monkeypatch.setattr("engine.local.monotonic", tick)
    calls = 0
    while calls < 100:
        calls += 1
        found = run_local(
            body, limited, seeds=[0, 1], data_dir=limited, device="cpu", deadline=now + 10
        )
        if found.is_complete:
            break
        assert (limited / "result.json").exists() == bool(found.points)
    assert 3 < calls < 100
    assert files_of(limited) == files_of(whole)


def files_of(out: Path) -> dict[str, bytes]:
    """All files that hold no times."""
    found = {"metrics.csv": (out / "metrics.csv").read_bytes()}
    for folder in sorted(out.glob("point*")):
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(WITH_TIMES):
                found[f"{folder.name}/{path.name}"] = path.read_bytes()
    return found


@pytest.fixture
def save_at_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalRunContext, "should_save", lambda self: True)


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Kill the run at its n-th check, then after n + 3 more, n + 6 more, and so on.

    The growing intervals let a part finish that cannot resume.
    """
    left = interval = number

    def check(self: LocalRunContext) -> None:
        nonlocal left, interval
        left -= 1
        if left == 0:
            interval += 3
            left = interval
            raise Killed

    monkeypatch.setattr(LocalRunContext, "check", check)


@pytest.fixture(scope="module", params=list(kinds()))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def undisturbed(kind: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run that is called once."""
    out = tmp_path_factory.mktemp("undisturbed")
    run(body_of(kind), out)
    found = files_of(out)
    assert found["metrics.csv"].count(b"\n") > 20
    return found


def test_a_run_called_again_leaves_the_same_files(
    kind: str, undisturbed: dict[str, bytes], tmp_path: Path, save_at_every_check: None
) -> None:
    for _ in range(3):
        run(body_of(kind), tmp_path / "out")
        assert files_of(tmp_path / "out") == undisturbed


@pytest.mark.parametrize("number", [4, 7])
def test_a_run_killed_repeatedly_gives_the_files_of_an_undisturbed_run(
    kind: str,
    number: int,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    save_at_every_check: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kill_at(monkeypatch, number)
    kills = 0
    while True:
        try:
            run(body_of(kind), tmp_path / "killed")
            break
        except Killed:
            kills += 1
            assert kills < 100, "the run does not progress"
    assert kills >= 2
    assert files_of(tmp_path / "killed") == undisturbed


def test_a_folder_with_the_results_of_another_spec_is_refused(tmp_path: Path) -> None:
    body = body_of("train")
    run(body, tmp_path / "out")
    before = files_of(tmp_path / "out")
    other = {**body, "spec": {**body["spec"], "epochs": 1}}
    with pytest.raises(OutputInUse, match="another spec"):
        run(other, tmp_path / "out")
    assert files_of(tmp_path / "out") == before
