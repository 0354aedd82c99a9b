"""One call for a GPU that is at hand for minutes: its tests, its goals, the paper's experiments.

`python -m benchmarks.gpu_session --minutes 10 --data-dir FOLDER --out FOLDER`. It needs only what
the engine needs, and no network. Each step's output and result are written as it ends; the same
call with the same folder continues. What is most telling comes first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.durations import format_seconds
from ops.gallery.alone import name_folder
from ops.gallery.entries import BEYOND_TWO_CORES

ROOT = Path(__file__).parents[1]
LEAST_SECONDS = 10.0
"""A step does not begin with less"""
SAVE_SECONDS = 30.0
"""For the engine to save after its limit, before it is ended"""
GOALS = {
    "gpu": 60.0,
    "gpu_layers": 150.0,
    "gpu_sweep": 60.0,
    "gpu_precision": 60.0,
    "gpu_memory": 60.0,
}
"""Benchmarks by name, each with at most how many seconds it may take"""


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and at most how long it may take."""

    name: str
    command: tuple[str, ...]
    most_seconds: float
    stops_itself: bool = False
    """Whether it takes `--seconds` and saves what it has"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended."""

    name: str
    exit_code: int | None
    """None: it was ended as its time was over, or it did not begin"""
    seconds: float
    detail: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when every step has succeeded, 1 when one failed, 3 when the time was over."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_session", description=__doc__)
    parser.add_argument("--minutes", type=float, required=True, help="for all steps together")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with MNIST")
    parser.add_argument("--out", type=Path, required=True, help="for results; a call continues")
    parser.add_argument("--only", nargs="+", help="steps by name")
    parser.add_argument(
        "--rehearse", action="store_true", help="on the CPU, with sizes that take seconds"
    )
    chosen = parser.parse_args(arguments)
    deadline = time.monotonic() + 60 * chosen.minutes
    out = chosen.out / "rehearsal" if chosen.rehearse else chosen.out
    steps = {
        step.name: step for step in list_steps(chosen.data_dir, out, is_rehearsal=chosen.rehearse)
    }
    unknown = [name for name in chosen.only or () if name not in steps]
    if unknown:
        parser.error(f"there is no step {', '.join(unknown)}: {', '.join(steps)}")
    out.mkdir(parents=True, exist_ok=True)
    if chosen.rehearse:
        os.environ["GPU_TESTS_DEVICE"] = "cpu"
    named = [step for step in steps.values() if not chosen.only or step.name in chosen.only]
    ended = [run_step(step, out, deadline) for step in named]
    for one in ended:
        told = "did not end" if one.exit_code is None else f"exit code {one.exit_code}"
        print(f"{one.name}: {told}, {format_seconds(one.seconds)} {one.detail}".rstrip())
    codes = {one.exit_code for one in ended}
    return 0 if codes <= {0} else 3 if codes <= {0, 3, None} else 1


def list_steps(data_dir: Path, out: Path, *, is_rehearsal: bool) -> Iterator[Step]:
    """The steps in their order."""
    python = sys.executable
    tests = "tests/engine_training/test_gpu_training.py"
    plain = ("--noconftest", "-p", "no:cacheprovider", "-o", "addopts=", "-v")
    yield Step("tests", (python, "-m", "pytest", *plain, "-m", "gpu", tests), 180.0)
    figures = ("--out", str(out / "figures.json"))
    smoke = ("--smoke",) if is_rehearsal else ("--data-dir", str(data_dir))
    for name, most_seconds in GOALS.items():
        yield Step(name, (python, "-m", "benchmarks", name, *figures, *smoke), most_seconds)
    groups = [["table1"], ["fig1a"]] if is_rehearsal else list_trainings()
    where = ("--data-dir", str(data_dir), "--out", str(out / "gallery"))
    entries = "quick" if is_rehearsal else "paper"
    how = ("--entries", entries, "--device", "cpu" if is_rehearsal else "cuda")
    for names in groups:
        yield Step(
            names[0],
            (python, "-m", "ops.gallery.alone", *names, *where, *how),
            120.0 if is_rehearsal else 3_600.0,
            stops_itself=True,
        )
    answers = ("--gpu", "--out", str(out / "known_gpu.json"), "--keep", str(out / "known"))
    yield Step(
        "known",
        (python, "-m", "benchmarks", "known", *answers, *smoke),
        120.0 if is_rehearsal else 3_600.0,
        stops_itself=True,
    )


def list_trainings() -> list[list[str]]:
    """The entries beyond two cores by name; together those that are plots of the same trainings."""
    groups: dict[str, list[str]] = {}
    for entry in BEYOND_TWO_CORES:
        groups.setdefault(name_folder(entry.body()), []).append(entry.name)
    return list(groups.values())


def run_step(step: Step, out: Path, deadline: float) -> Ended:
    """Run a step unless an earlier call did; its output is appended to `<name>.log`."""
    record = out / f"{step.name}.step.json"
    if record.exists():
        earlier = Ended(**json.loads(record.read_text()))
        if earlier.exit_code == 0:
            return earlier
    left = min(step.most_seconds, deadline - time.monotonic())
    if left < LEAST_SECONDS:
        return Ended(step.name, None, 0.0, "no time was left")
    command = step.command
    if step.stops_itself:
        command = (*command, "--seconds", f"{max(1.0, left - SAVE_SECONDS):.0f}")
    began = time.monotonic()
    with (out / f"{step.name}.log").open("ab") as log:
        try:
            code: int | None = subprocess.run(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, timeout=left, check=False
            ).returncode
            detail = ""
        except subprocess.TimeoutExpired:
            code, detail = None, "ended as its time was over"
    ended = Ended(step.name, code, time.monotonic() - began, detail)
    record.write_text(json.dumps(asdict(ended)) + "\n")
    return ended


if __name__ == "__main__":
    sys.exit(main())
