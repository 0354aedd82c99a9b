"""Bits are equal for equal threads and arithmetic; a difference is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.arithmetic import describe_arithmetic, list_differences
from engine.experiments.registry import parse_spec
from engine.local import LocalRunContext
from engine.spec import Execution
from engine.training.loop import train

SPECS: dict[str, dict[str, Any]] = {
    "relu_net": {"model": {"name": "relu_net", "width": 60, "depth": 2}},
    "vgg5": {"model": {"name": "vgg5"}},
}
SMALL = {
    "kind": "train",
    "epochs": 1,
    "data": {"name": "digits", "train_size": 256, "test_size": 100},
}


def run_engine(folder: Path, name: str, threads: int, **environment: str) -> dict[str, bytes]:
    """theta_T and metrics of a fresh process."""
    spec = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    spec.write_text(json.dumps({**SMALL, **SPECS[name]}))
    out = folder / "out"
    command = [sys.executable, "-m", "engine", "run", str(spec), "--seeds", "0", "--out", str(out)]
    subprocess.run(
        [*command, "--threads", str(threads), "--device", "cpu"],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
        timeout=150,
    )
    return {
        "theta_T": (out / "point0" / "theta_T-seed0.safetensors").read_bytes(),
        "metrics": (out / "metrics.csv").read_bytes(),
    }


@pytest.mark.parametrize("name", list(SPECS))
@pytest.mark.parametrize(
    "threads", [2, pytest.param(1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_a_number_of_threads_gives_equal_bits_whatever_the_process_was_given(
    name: str, threads: int, tmp_path: Path
) -> None:
    first = run_engine(tmp_path / "first", name, threads, OMP_NUM_THREADS="1")
    assert run_engine(tmp_path / "second", name, threads, OMP_NUM_THREADS="3") == first


def test_a_warm_process_gives_the_bits_of_a_fresh_one(tmp_path: Path) -> None:
    """The threads of a pool that grows must flush denormals like the first ones."""
    spec = parse_spec({**SMALL, **SPECS["relu_net"]})
    for threads in (1, 4):
        ctx = LocalRunContext(
            tmp_path / str(threads),
            [0],
            Execution(device="cpu", threads=threads),
            data_dir=tmp_path,
        )
        train(spec, ctx)
        warm = (tmp_path / str(threads) / "theta_T-seed0.safetensors").read_bytes()
        assert warm == run_engine(tmp_path / f"fresh{threads}", "relu_net", threads)["theta_T"]


def test_trainings_with_other_threads_are_other_trainings() -> None:
    spec = parse_spec(SMALL)
    digests = {spec.training_digest(0, Execution(threads=threads), "x") for threads in (1, 2, 4)}
    assert len(digests) == 3


def test_the_default_threads_do_not_depend_on_the_host() -> None:
    assert Execution().threads == 1


def test_a_lower_instruction_set_has_another_description() -> None:
    code = "import json; from engine.arithmetic import describe_arithmetic as d\n"
    code += "print(json.dumps(dict(d())))"

    def describe(**environment: str) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, str] = json.loads(done.stdout)
        return found

    here = describe()
    assert describe() == here == dict(describe_arithmetic())
    other = describe(ATEN_CPU_CAPABILITY="default", ONEDNN_MAX_CPU_ISA="SSE41")
    names = {difference.partition(":")[0] for difference in list_differences(here, other)}
    assert {"instructions", "probe"} <= names


class Stopped(Exception):
    """Ends a run in its middle."""


class Stopping(LocalRunContext):
    """Saves at every check and stops at the second."""

    checks = 0

    def should_save(self) -> bool:
        return True

    def check(self) -> None:
        self.checks += 1
        if self.checks == 2:
            raise Stopped


def test_a_resume_elsewhere_is_an_event_and_a_note(tmp_path: Path) -> None:
    spec, execution = parse_spec({**SMALL, **SPECS["relu_net"]}), Execution(device="cpu")
    with pytest.raises(Stopped):
        train(spec, Stopping(tmp_path, [0], execution, data_dir=tmp_path))
    path = tmp_path / "resume.json"
    state = json.loads(path.read_text())
    assert state["state"]["arithmetic"] == dict(describe_arithmetic())
    state["state"]["arithmetic"]["instructions"] = "AVX1024"
    path.write_text(json.dumps(state))
    ctx = LocalRunContext(tmp_path, [0], execution, data_dir=tmp_path)
    (trained,) = train(spec, ctx)
    (event,) = [one for one in ctx.events if one["name"] == "training.resumed_elsewhere"]
    assert "AVX1024" in event["differences"][0]
    assert any("AVX1024" in note for note in trained.notes)


def test_a_resume_on_the_same_host_has_neither(tmp_path: Path) -> None:
    spec, execution = parse_spec({**SMALL, **SPECS["relu_net"]}), Execution(device="cpu")
    with pytest.raises(Stopped):
        train(spec, Stopping(tmp_path, [0], execution, data_dir=tmp_path))
    ctx = LocalRunContext(tmp_path, [0], execution, data_dir=tmp_path)
    (trained,) = train(spec, ctx)
    names = [event["name"] for event in ctx.events]
    assert "training.resumed" in names
    assert "training.resumed_elsewhere" not in names
    assert trained.notes == ()


def test_a_training_loaded_from_another_arithmetic_says_so(tmp_path: Path) -> None:
    spec, execution = parse_spec({**SMALL, **SPECS["relu_net"]}), Execution(device="cpu")
    train(spec, LocalRunContext(tmp_path, [0], execution, data_dir=tmp_path))
    path = tmp_path / "training-seed0.json"
    stored = json.loads(path.read_text())
    stored["result"]["arithmetic"]["torch"] = "1.0"
    path.write_text(json.dumps(stored))
    (again,) = train(spec, LocalRunContext(tmp_path, [0], execution, data_dir=tmp_path))
    assert any("torch: 1.0" in note for note in again.notes)
