"""Offline files of Weights & Biases and of Trackio: a run for each point and seed.

Their libraries read many variables of the environment, at their import too, and start processes
and threads. So they run in a process of their own, with an environment that is told here.
"""

from __future__ import annotations

import json
import os
import subprocess  # nosec B404
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from typing import Any

from richregime.errors import ExportFailed, ExtraMissing
from richregime.exporting.source import ExportSource
from richregime.exporting.tracked_runs import TrackedRun, group_name, list_tracked_runs

PROJECT = "richregime"
MAX_TAG = 64
"""Characters of a tag of Weights & Biases"""
SETTINGS = ("WANDB_", "TRACKIO_")
"""How the names of the libraries' variables begin; those of the caller are not passed on"""
Tracked = Mapping[str, Any]


def require(package: str) -> None:
    """Raises ExtraMissing where the package is not installed."""
    if find_spec(package) is None:
        raise ExtraMissing(package, package)


def write_wandb(source: ExportSource, folder: Path) -> list[Path]:
    """Write a folder `wandb/offline-run-...` for each run; needs neither network nor account.

    `wandb sync FOLDER/wandb/offline-run-*` uploads them. Another export replaces them.
    """
    require("wandb")
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    runs = [_to_json(one) for one in list_tracked_runs(source)]
    for run in runs:
        for earlier in _wandb_folders(folder, run["id"]):
            rmtree(earlier)
    told = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
    _run_apart("wandb", group_name(source), runs, folder, told)
    return [path for run in runs for path in _wandb_folders(folder, run["id"])]


def _wandb_folders(folder: Path, run_id: str) -> list[Path]:
    return sorted((folder / "wandb").glob(f"offline-run-*-{run_id}"))


def write_trackio(source: ExportSource, folder: Path) -> list[Path]:
    """Write the project into the folder, a folder of Trackio; another export replaces its runs.

    `TRACKIO_DIR=FOLDER trackio show --project richregime` shows it.
    """
    require("trackio")
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    runs = [_to_json(one) for one in list_tracked_runs(source)]
    told = {"TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1"}
    _run_apart("trackio", group_name(source), runs, folder, told)
    return [folder / f"{PROJECT}.db"]


def _to_json(one: TrackedRun) -> dict[str, Any]:
    return {
        "name": one.name,
        "id": one.id,
        "parameters": one.parameters,
        "tags": one.tags,
        "metrics": [[step, values] for step, values in one.metrics.items()],
        "has_failed": one.has_failed,
    }


def _run_apart(
    library: str,
    group: str,
    runs: Sequence[Tracked],
    folder: Path,
    told: Mapping[str, str],
) -> None:
    """Raises ExportFailed with what the library says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(  # noqa: S603 # nosec B603
        [sys.executable, "-m", "richregime.exporting.tracker_files", library, str(folder)],
        input=json.dumps({"group": group, "runs": runs}),
        env={**kept, **told, "PYTHONPATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it gave no reason"]
        raise ExportFailed(f"{library} could not write into {folder}: {lines[-1][:500]}")


def _log_to_wandb(group: str, runs: Sequence[Tracked], folder: str) -> None:
    wandb: Any = import_module("wandb")
    settings = wandb.Settings(
        mode="offline",
        silent=True,
        console="off",
        disable_code=True,
        disable_git=True,
        save_code=False,
        x_disable_meta=True,
        x_disable_stats=True,
    )
    for one in runs:
        run = wandb.init(
            project=PROJECT,
            group=group,
            name=one["name"],
            id=one["id"],
            config={**one["parameters"], **one["tags"]},
            tags=sorted({value[:MAX_TAG] for value in one["tags"].values() if value}),
            dir=folder,
            settings=settings,
        )
        for step, values in one["metrics"]:
            run.log(values, step=step)
        run.finish(exit_code=int(one["has_failed"]))


def _log_to_trackio(group: str, runs: Sequence[Tracked], folder: str) -> None:
    trackio: Any = import_module("trackio")
    earlier = {one.name: one for one in trackio.Api().runs(PROJECT)} if os.listdir(folder) else {}
    for one in runs:
        name = f"{one['name']} ({one['id'].partition('-')[0]})"
        if name in earlier:
            earlier[name].delete()
        run = trackio.init(
            project=PROJECT,
            name=name,
            group=group,
            config={**one["parameters"], **one["tags"]},
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        for step, values in one["metrics"]:
            run.log(values, step=step)
        run.finish()


LIBRARIES: Mapping[str, Callable[[str, Sequence[Tracked], str], None]] = {
    "wandb": _log_to_wandb,
    "trackio": _log_to_trackio,
}


if __name__ == "__main__":
    given = json.load(sys.stdin)
    LIBRARIES[sys.argv[1]](given["group"], given["runs"], sys.argv[2])
