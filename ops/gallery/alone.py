"""Computes entries of the gallery by the engine alone, where no service can run.

`python -m ops.gallery.alone fig10a fig7a --entries paper --seconds 300 --data-dir D --out FOLDER`
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from engine.determinism import prepare_process
from engine.drawing.fitting import draw_plot
from engine.experiments.registry import get_kind, presets
from engine.hardware import describe_processor
from engine.local import run_local
from engine.own_claims.claim import OwnClaim
from engine.paper.comparison import compare
from engine.plot_numbers import plot_numbers
from engine.plotting import PlotOptions, save
from engine.process_memory import keep_freed_memory
from engine.spec import sha256_of
from ops.gallery.entries import BEYOND_TWO_CORES, Entry, list_entries, list_left_out
from ops.gallery.record import DPI, make_record

TIME_LIMIT_REACHED = 3
COMPLETE = "complete"
"""A file in the folder of an experiment that was computed to its end"""
LISTS: dict[str, Callable[[Path], Iterable[Entry]]] = {
    "gallery": list_entries,
    "paper": lambda data_dir: BEYOND_TWO_CORES,
    "quick": lambda data_dir: [Entry(name) for name, scale in presets() if scale == "quick"],
}
"""By the value of `--entries`: its entries, for a folder of data sets"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when all entries are computed, 3 when the time was over before.

    Each entry's record and plots are written when it ends, as the gallery's results.
    The same call continues.
    """
    parser = argparse.ArgumentParser(prog="python -m ops.gallery.alone", description=__doc__)
    parser.add_argument("names", nargs="+", help="of entries, in the order of computing")
    parser.add_argument("--seconds", type=float, required=True, help="save and stop after so long")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--out", type=Path, required=True, help="for the records and plots")
    parser.add_argument(
        "--entries",
        choices=list(LISTS),
        default="gallery",
        help="the gallery's; those beyond two cores at the paper's size; all at quick scale",
    )
    chosen = parser.parse_args(arguments)
    deadline = time.monotonic() + chosen.seconds
    known = {one.name: one for one in LISTS[chosen.entries](chosen.data_dir)}
    unknown = [name for name in chosen.names if name not in known]
    if unknown:
        parser.error(f"there is no entry {', '.join(unknown)}: {', '.join(known)}")
    if chosen.entries == "gallery":
        for entry in list_left_out(chosen.data_dir):
            if entry.name in chosen.names:
                parser.error(f"{entry.name} needs {entry.data_file} in --data-dir")
    for name in chosen.names:
        if (chosen.out / f"{name}.json").exists():
            continue
        if not compute_alone(known[name], chosen.out, chosen.data_dir, chosen.device, deadline):
            print(f"{name}: the time is over; the same call continues", flush=True)
            return TIME_LIMIT_REACHED
        print(f"{name}: written", flush=True)
    return 0


def compute_alone(entry: Entry, out: Path, data_dir: Path, device: str, deadline: float) -> bool:
    """Write `<name>.json` and `<name>-<plot>.png` to `out`; False where the time was over before.

    What was computed by then is in `out/work`, from which the next call continues.
    """
    prepare_process()
    keep_freed_memory()
    body = entry.body()
    folder = out / "work" / name_folder(body)
    is_reused = (folder / COMPLETE).exists()
    began = time.monotonic()
    experiment = run_local(
        body,
        folder,
        seeds=body["seeds"],
        data_dir=data_dir,
        device=device,
        allow_download=False,
        deadline=deadline,
    )
    seconds = _add_seconds(folder, time.monotonic() - began)
    if not experiment.is_complete:
        return False
    (folder / COMPLETE).touch()
    kind = get_kind(body["spec"]["kind"])
    options = PlotOptions(dpi=DPI)
    for one in entry.list_pictures():
        numbers = plot_numbers(kind, one.plot, experiment, quantity=one.quantity, for_picture=True)
        figure = draw_plot(kind.load_plots(), one.plot, numbers, options)
        (out / f"{entry.name}-{one.name}.png").write_bytes(save(figure, "png", options))
    claims = [OwnClaim.model_validate(claim) for claim in body.get("claims", ())]
    record = make_record(
        entry,
        digest=None,
        run_seconds=seconds,
        machine={
            "versions": {"python": platform.python_version(), "torch": version("torch")},
            "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
            "processor": describe_processor(),
            "threads": 1,
        },
        reused_trainings=is_reused,
        points=[point.model_dump(mode="json") for point in experiment.summary],
        comparison=compare(kind, experiment.points, experiment.summary, claims=claims).model_dump(
            mode="json"
        ),
    )
    _write(out / f"{entry.name}.json", record)
    return True


def name_folder(body: dict[str, Any]) -> str:
    """Equal for entries that are other plots of the same trainings."""
    computed = {name: body[name] for name in ("spec", "sweep", "seeds") if name in body}
    return sha256_of(computed)[:16]


def _add_seconds(folder: Path, seconds: float) -> float:
    """The seconds of all calls so far."""
    path = folder / "seconds.json"
    total = seconds + (json.loads(path.read_text()) if path.exists() else 0.0)
    path.write_text(json.dumps(total))
    return float(total)


def _write(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
