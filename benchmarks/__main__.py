"""Measures one, several or all benchmarks, prints a table and writes JSON.

`python -m benchmarks page` writes docs/reference/performance.md from that JSON.
`python -m benchmarks known` compares results with published ones (`benchmarks.known`).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from benchmarks.page import TITLES, print_figure, write_page
from engine.process_memory import keep_freed_memory
from engine.threads import wait_briefly

ROOT = Path(__file__).parents[1]
LATEST = ROOT / "benchmarks" / "results" / "latest.json"
PAGE = ROOT / "docs" / "reference" / "performance.md"


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 if every measured goal was met, else 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    wait_briefly()
    keep_freed_memory()
    if arguments[:1] == ["known"]:
        from benchmarks import known

        return known.main(arguments[1:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="+", choices=["all", "page", *TITLES], help="what to measure"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="the JSON file; results of other benchmarks in it are kept",
    )
    parser.add_argument(
        "--data-dir", type=Path, help="folder with MNIST; default: generated images"
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="tiny sizes and one round: checks that the benchmarks run",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="also install MLflow in its own environment and measure it",
    )
    chosen = parser.parse_args(arguments)
    chosen.out = chosen.out or LATEST
    if chosen.names == ["page"]:
        PAGE.write_text(write_page(json.loads(chosen.out.read_text())), encoding="utf-8")
        return 0
    # Ends the services too, because they are stopped when their blocks are left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    names = (
        list(TITLES) if "all" in chosen.names else [name for name in chosen.names if name != "page"]
    )
    with tempfile.TemporaryDirectory(prefix="richregime-benchmarks-") as folder:
        document = measure_all(names, chosen, Path(folder))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    measured = [figure for name in names for figure in document["figures"].get(name, ())]
    missed = [figure["name"] for figure in measured if figure["is_met"] is False]
    print(f"written to {chosen.out}; {len(missed)} goals missed")
    return 1 if missed else 0


def measure_all(names: list[str], chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The JSON document. Keeps results of other benchmarks from the same processor."""
    from engine.determinism import prepare_process

    prepare_process()
    from benchmarks.machine import describe_machine

    machine = describe_machine()
    print(
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load_average'][0]:.2f}"
    )
    earlier = (
        json.loads(chosen.out.read_text())
        if chosen.out.exists()
        else {"figures": {}, "machine": {}}
    )
    is_same = earlier["machine"].get("processor") == machine["processor"]
    figures: dict[str, Any] = dict(earlier["figures"]) if is_same else {}
    conditions: dict[str, Any] = dict(earlier.get("measured", {})) if is_same else {}
    data = ""
    for name in names:
        options = Options(folder / name, chosen.data_dir, chosen.smoke, chosen.peers)
        options.work_dir.mkdir()
        data = options.data_description
        print(f"{name}: {TITLES[name]}", flush=True)
        began = time.perf_counter()
        measured = []
        for figure in import_module(f"benchmarks.goals.{name}").measure(options):
            measured.append(figure.to_json())
            print_figure(measured[-1])
        if measured:
            figures[name] = measured
            conditions[name] = {
                field: machine[field] for field in ("measured_at", "threads", "load_average")
            }
        print(f"  ({time.perf_counter() - began:.0f} s)", flush=True)
    ordered = {name: figures[name] for name in TITLES if name in figures}
    return {
        "machine": machine,
        "data": data,
        "smoke": chosen.smoke,
        "measured": conditions,
        "figures": ordered,
    }


if __name__ == "__main__":
    sys.exit(main())
