"""One call for a GPU that is at hand for minutes: its tests, its goals, the paper's experiments.

`python -m benchmarks.gpu_session --minutes 10 --data-dir FOLDER --out FOLDER`. It needs only what
the engine needs, and no network. Each step's output and result are written as it ends; the same
call with the same folder continues. What is most telling comes first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.durations import format_seconds

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ("fig10a", "fig7a", "fig2-first_epoch", "fig6", "fig19")
"""Entries of the gallery, the most telling first: drawn and static policies of VGG-5, then the
reference point, then the activity of Conv-Nets"""
OTHER_PLOTS = {"fig10a": ("fig11a", "fig9a", "fig12a"), "fig7a": ("fig8a",)}
"""Entries that are other plots of a computed one; they train nothing new"""
LEAST_SECONDS = 10.0
"""A step does not begin with less"""
SAVE_SECONDS = 30.0
"""For the engine to save after its limit, before it is ended"""


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
    chosen.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * chosen.minutes
    steps = [
        step
        for step in list_steps(chosen.data_dir, chosen.out, is_rehearsal=chosen.rehearse)
        if not chosen.only or step.name in chosen.only
    ]
    ended = [run_step(step, chosen.out, deadline) for step in steps]
    for one in ended:
        told = "did not end" if one.exit_code is None else f"exit code {one.exit_code}"
        print(f"{one.name}: {told}, {format_seconds(one.seconds)} {one.detail}".rstrip())
    codes = {one.exit_code for one in ended}
    return 0 if codes <= {0} else 3 if codes <= {0, 3, None} else 1


def list_steps(data_dir: Path, out: Path, *, is_rehearsal: bool) -> Iterator[Step]:
    """The steps in their order."""
    python = sys.executable
    tests = "tests/engine_training/test_gpu_training.py"
    plain = ("--noconftest", "-p", "no:cacheprovider", "-o", "addopts=", "-q")
    collect = ("--collect-only",) if is_rehearsal else ()
    yield Step("tests", (python, "-m", "pytest", *plain, "-m", "gpu", tests, *collect), 120.0)
    figures = ("--out", str(out / "figures.json"))
    smoke = ("--smoke",) if is_rehearsal else ("--data-dir", str(data_dir))
    yield Step("goals", (python, "-m", "benchmarks", "gpu", *figures, *smoke), 240.0)
    names = ("table1", "fig1a") if is_rehearsal else EXPERIMENTS
    where = ("--data-dir", str(data_dir), "--out", str(out / "gallery"))
    how = ("--quick", "--device", "cpu") if is_rehearsal else ("--device", "cuda")
    for name in names:
        together = (name,) if is_rehearsal else (name, *OTHER_PLOTS.get(name, ()))
        yield Step(
            name,
            (python, "-m", "ops.gallery.alone", *together, *where, *how),
            120.0 if is_rehearsal else 3_600.0,
            stops_itself=True,
        )


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
