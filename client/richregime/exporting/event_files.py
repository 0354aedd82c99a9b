"""TensorBoard's event files: a folder a point and seed, its metrics as scalars, its form as hyperparameters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from api.web.wording import show_value
from richregime.exporting.event_records import (
    encode_end,
    encode_hyperparameters,
    encode_scalar,
    encode_version,
    frame,
)
from richregime.exporting.source import ExportSource, flatten
from schemas.resources import Experiment, Run
from schemas.status import RunStatus

UNFIT = re.compile(r"[^A-Za-z0-9=.,_+-]+")
MAX_FOLDER_NAME = 120


def write_event_files(source: ExportSource, folder: Path) -> list[Path]:
    """One file in `<point>/seed<k>` for each point and seed that has logged something.

    Tags are the metrics' names, steps are theirs (epochs). A value is a float32, as TensorBoard's scalars are; one that
    was not finite is NaN. The service dates runs, not values: every event has the time at which its run began. Writing
    into the same folder again replaces the files.
    """
    values: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for item in source.metrics["items"]:
        values.setdefault((item["point"], item["seed"]), []).append(item)
    runs, points = source.runs_by_cell(), source.points()
    num_digits = len(str(max(points, default=0)))
    written = []
    for (point, seed), items in values.items():
        run = runs[point, seed]
        path = (
            folder
            / name_folder(point, points[point], num_digits)
            / f"seed{seed}"
            / f"events.out.tfevents.{int(source.experiment.created_at.timestamp())}.richregime"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_encode_cell(source.experiment, run, seed, items))
        written.append(path)
    return written


def name_folder(index: int, values: Mapping[str, Any], num_digits: int) -> str:
    """`point2-model.width=100`: sorted by index, and of no letter that a path or a filter would stumble over."""
    swept = ",".join(f"{path}={show_value(value)}" for path, value in values.items())
    name = f"point{index:0{num_digits}d}" + (f"-{swept}" if swept else "")
    return UNFIT.sub("_", name)[:MAX_FOLDER_NAME].rstrip("_.")


def _encode_cell(
    experiment: Experiment, run: Run, seed: int, items: Sequence[Mapping[str, Any]]
) -> bytes:
    began = (run.started_at or run.created_at).timestamp()
    names = sorted({item["name"] for item in items})
    items = sorted(items, key=lambda item: (item["step"], item["name"]))
    events = [
        encode_version(began),
        *encode_hyperparameters(began, {**_read_spec(experiment, run), "seed": seed}, names),
        *(encode_scalar(began, item["step"], item["name"], item["value"]) for item in items),
    ]
    if run.finished_at is not None:
        succeeded = run.status is RunStatus.SUCCEEDED
        events.append(encode_end(run.finished_at.timestamp(), succeeded=succeeded))
    return b"".join(map(frame, events))


def _read_spec(experiment: Experiment, run: Run) -> dict[str, Any]:
    """The run's form, a value a dotted path: the experiment's, with the point's values in the place of the swept fields."""
    swept = run.point.values
    kept = {
        path: value
        for path, value in flatten(experiment.spec)
        if not any(path == axis or path.startswith(f"{axis}.") for axis in swept)
    }
    return {**kept, **dict(flatten(swept))}
