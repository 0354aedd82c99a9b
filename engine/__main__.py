"""`python -m engine run spec.json --seeds 0,1,2 --out DIR`: run without the service."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError, InvalidSpec
from engine.experiments.registry import presets
from engine.process_memory import keep_freed_memory
from engine.threads import wait_briefly

if TYPE_CHECKING:
    from engine.local import LocalExperiment

TIME_LIMIT_REACHED = 3


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when the results are written, 2 for an invalid spec, 1 for other engine errors.

    3: the time limit was reached; what was computed is written.
    """
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run", help="run a spec or an experiment from a JSON file, or presets"
    )
    run.add_argument(
        "spec",
        type=Path,
        nargs="?",
        help="JSON file: a spec, or an experiment with spec, sweep, seeds and execution",
    )
    run.add_argument(
        "--preset",
        action="append",
        default=[],
        help="in place of a file: a preset of the paper, such as fig7a; repeat it for several, "
        "each in a folder of its name",
    )
    run.add_argument("--scale", choices=["paper", "quick"], default="paper", help="of the presets")
    run.add_argument(
        "--max-seconds",
        type=float,
        help="save and stop after so long; the same call continues",
    )
    run.add_argument(
        "--out", type=Path, required=True, help="folder for results; a repeated call resumes there"
    )
    run.add_argument(
        "--seeds", type=_seeds, help="comma-separated; default: those in the file, else 0"
    )
    run.add_argument(
        "--data-dir", type=Path, help="folder of data sets; default: ~/.richregime/data"
    )
    run.add_argument(
        "--plugins", type=Path, help="folder of plug-ins; default: ~/.richregime/plugins"
    )
    run.add_argument("--no-download", action="store_true", help="never download a data set")
    run.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if available")
    run.add_argument(
        "--threads", type=int, help="CPU threads; default: execution.threads of the file, else 1"
    )
    chosen = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that cannot show every character
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _run(chosen)
    except InvalidSpec as invalid:
        for error in invalid.errors:
            print(f"{error.pointer}: {error.detail}", file=sys.stderr)
        return 2
    except (EngineError, OSError, json.JSONDecodeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _run(chosen: argparse.Namespace) -> int:
    wait_briefly()
    keep_freed_memory()
    import torch

    from engine.determinism import prepare_process
    from engine.local import run_local
    from engine.models.local_host import use_local_host
    from engine.timing import monotonic

    prepare_process()
    use_local_host(chosen.plugins or _find_folder("plugins"))
    deadline = None if chosen.max_seconds is None else monotonic() + chosen.max_seconds
    for body, out in _read_bodies(chosen):
        if chosen.threads is not None:
            body = body if "spec" in body else {"spec": body}
            body["execution"] = {**body.get("execution", {}), "threads": chosen.threads}
        experiment = run_local(
            body,
            out,
            seeds=_choose_seeds(chosen.seeds or body.get("seeds") or [0]),
            data_dir=chosen.data_dir or _default_data_dir(),
            device=chosen.device or ("cuda" if torch.cuda.is_available() else "cpu"),
            allow_download=not chosen.no_download,
            deadline=deadline,
        )
        _print_summary(experiment, out)
        if not experiment.is_complete:
            print("the time limit is reached; the same call continues")
            return TIME_LIMIT_REACHED
    return 0


def _read_bodies(chosen: argparse.Namespace) -> Iterator[tuple[dict[str, Any], Path]]:
    """What to run, and the folder for its results."""
    if bool(chosen.preset) == (chosen.spec is not None):
        raise EngineError("name either a JSON file or presets")
    if chosen.spec is not None:
        yield json.loads(chosen.spec.read_bytes()), chosen.out
        return
    known = presets()
    missing = [name for name in chosen.preset if (name, chosen.scale) not in known]
    if missing:
        names = ", ".join(name for name, scale in known if scale == chosen.scale)
        raise EngineError(f"there is no preset {missing[0]!r} at scale {chosen.scale}: {names}")
    for name in chosen.preset:
        yield dict(known[name, chosen.scale].body), chosen.out / name


def _choose_seeds(seeds: Any) -> list[int]:
    if not isinstance(seeds, list):
        detail = (
            "the engine alone computes a list of seeds; give --seeds 0,1,2, or submit the body to "
            "a service, which adds seeds until the verdicts are decided"
        )
        raise InvalidSpec.single("#/seeds", "not-a-list", detail)
    return seeds


def _print_summary(experiment: LocalExperiment, out: Path) -> None:
    for point in experiment.summary:
        accuracy = point.test_accuracy
        error = "" if accuracy.standard_error is None else f" ± {accuracy.standard_error:.4f}"
        name = dict(point.point) or "net"
        print(f"{name}: test accuracy {accuracy.mean:.4f}{error} ({point.outcome})")
    if experiment.summary:
        print(f"written to {out}")


def _default_data_dir() -> Path:
    found = _find_folder("data")
    if found is None:
        raise EngineError("this user has no home folder: name one by --data-dir")
    return found


def _find_folder(name: str) -> Path | None:
    """A folder of the service's home; None for a user without a home folder."""
    try:
        return Path.home() / ".richregime" / name
    except RuntimeError:  # no HOME, and no entry in the password database
        return None


def _seeds(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
