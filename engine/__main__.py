"""`python -m engine run spec.json --seeds 0,1,2 --out DIR`: run without the service."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

from engine.errors import EngineError, InvalidSpec


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when the results are written, 2 for an invalid spec, 1 for other engine errors."""
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a spec or an experiment from a JSON file")
    run.add_argument(
        "spec",
        type=Path,
        help="JSON file: a spec, or an experiment with spec, sweep, seeds and execution",
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
    import torch

    from engine.determinism import prepare_process
    from engine.local import run_local
    from engine.models.local_host import use_local_host

    prepare_process()
    use_local_host(chosen.plugins or _default_folder("plugins"))
    body = json.loads(chosen.spec.read_bytes())
    if chosen.threads is not None:
        body = body if "spec" in body else {"spec": body}
        body["execution"] = {**body.get("execution", {}), "threads": chosen.threads}
    seeds = chosen.seeds or body.get("seeds") or [0]
    if not isinstance(seeds, list):
        detail = (
            "the engine alone computes a list of seeds; give --seeds 0,1,2, or submit the body to "
            "a service, which adds seeds until the verdicts are decided"
        )
        raise InvalidSpec.single("#/seeds", "not-a-list", detail)
    experiment = run_local(
        body,
        chosen.out,
        seeds=seeds,
        data_dir=chosen.data_dir or _default_folder("data"),
        device=chosen.device or ("cuda" if torch.cuda.is_available() else "cpu"),
        allow_download=not chosen.no_download,
    )
    for point in experiment.summary:
        accuracy = point.test_accuracy
        error = "" if accuracy.standard_error is None else f" ± {accuracy.standard_error:.4f}"
        name = dict(point.point) or "net"
        print(f"{name}: test accuracy {accuracy.mean:.4f}{error} ({point.outcome})")
    print(f"written to {chosen.out}")
    return 0


def _default_folder(name: str) -> Path:
    try:
        return Path.home() / ".richregime" / name
    except RuntimeError:  # no HOME, and no entry in the password database
        raise EngineError(
            "this user has no home folder: name folders by --data-dir and --plugins"
        ) from None


def _seeds(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
