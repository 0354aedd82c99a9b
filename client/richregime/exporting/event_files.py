"""Event files of TensorBoard: a folder per point and seed, with metrics and hyperparameters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from richregime.enums import RunStatus
from richregime.exporting.event_records import (
    encode_end,
    encode_hyperparameters,
    encode_scalar,
    encode_version,
    frame,
)
from richregime.exporting.source import ExportSource
from richregime.formatting import format_value
from richregime.types import MetricValue, Run

UNSAFE = re.compile(r"[^A-Za-z0-9=.,_+-]+")
MAX_FOLDER_NAME = 120


def write_event_files(source: ExportSource, folder: Path) -> list[Path]:
    """Write one file into `<point>/seed<k>` for each point and seed that has metrics.

    Tags are the names of metrics, steps are epochs. A value is a float32, as in every scalar of
    TensorBoard; NaN where it was not finite. Every event has the start time of its run, because the
    service stores no time per value. A second export replaces the files.
    """
    values: dict[tuple[int, int], list[MetricValue]] = {}
    for item in source.metrics.items:
        values.setdefault((item.point, item.seed), []).append(item)
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
        path.write_bytes(_encode_cell(source, run, seed, items))
        written.append(path)
    return written


def name_folder(index: int, values: Mapping[str, Any], num_digits: int) -> str:
    """`point2-model.width=100`: sorts by index; characters that are unsafe in paths become `_`."""
    swept = ",".join(f"{path}={format_value(value)}" for path, value in values.items())
    name = f"point{index:0{num_digits}d}" + (f"-{swept}" if swept else "")
    return UNSAFE.sub("_", name)[:MAX_FOLDER_NAME].rstrip("_.")


def _encode_cell(source: ExportSource, run: Run, seed: int, items: Sequence[MetricValue]) -> bytes:
    started = (run.started_at or run.created_at).timestamp()
    names = sorted({item.name for item in items})
    items = sorted(items, key=lambda item: (item.step, item.name))
    events = [
        encode_version(started),
        *encode_hyperparameters(started, {**source.spec_of(run), "seed": seed}, names),
        *(encode_scalar(started, item.step, item.name, item.value) for item in items),
    ]
    if run.finished_at is not None:
        succeeded = run.status is RunStatus.SUCCEEDED
        events.append(encode_end(run.finished_at.timestamp(), succeeded=succeeded))
    return b"".join(map(frame, events))
