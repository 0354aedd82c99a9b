"""An experiment as a zip that is written while it is sent: nothing is held whole but the file at hand."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from api.services.metric_tables import to_csv
from engine import tables
from engine.experiments.registry import get_kind
from schemas.resources import Experiment
from storage import artifacts, events, experiments, metrics, run_resources
from storage.blobs import BlobStore
from storage.db import Database
from storage.results import StoredPlotInput, summarize_experiment

PAGE = 200
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Every entry's date: equal experiments give equal entries."""
RERUN = """#!/bin/sh
# Runs this experiment again, either through a service:
#   RICHREGIME_URL=http://127.0.0.1:8000 sh rerun.sh
# or, where RICHREGIME_URL is not set, by the engine alone in this machine's Python environment.
set -eu
cd "$(dirname "$0")"
if [ -n "${RICHREGIME_URL:-}" ]; then
    exec curl --fail-with-body -X POST "$RICHREGIME_URL/experiments" -H 'content-type: application/json' --data-binary @body.json
fi
exec python -m engine run body.json --out "${1:-again}"
"""
README = """{title}

body.json        the submission: POST it to /experiments, or run it with rerun.sh
experiment.json  status, digest and times
result.json      mean, standard error, 95 % interval and n of each quantity at each point
metrics.csv      every number logged: point, seed, name, step, value
specs/           the form of each point, every default filled in
manifests/       of each run: versions, device, data set, timings
plots/           each plot as PNG and SVG, and the numbers drawn as JSON; tables also as HTML and CSV
events.jsonl     what happened, in order
SHA256SUMS       checksums: `sha256sum -c SHA256SUMS`
"""


class _Pipe:
    """What zipfile writes to; it is emptied after each entry."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """There is nothing to close."""

    def take(self) -> bytes:
        data = b"".join(self._written)
        self._written.clear()
        return data


def export(
    db: Database, blobs: BlobStore, experiment_id: str, source: StoredPlotInput, *, with_files: bool
) -> Iterator[bytes]:
    """The zip's bytes, entry by entry."""
    pipe, sums = _Pipe(), []
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, data in _list_entries(db, blobs, experiment_id, source, with_files):
            _add(archive, name, data)
            sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
            yield pipe.take()
        _add(archive, "SHA256SUMS", "".join(sums).encode())
    yield pipe.take()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (0o755 if name.endswith(".sh") else 0o644) << 16
    archive.writestr(entry, data)


def _list_entries(
    db: Database, blobs: BlobStore, experiment_id: str, source: StoredPlotInput, with_files: bool
) -> Iterator[tuple[str, bytes]]:
    with db.read() as session:
        row = experiments.get_experiment(session, experiment_id)
        experiment = experiments.to_resource(session, row)
        summary = row.summary or summarize_experiment(source)
        rows = metrics.read_metrics(session, experiment_id=experiment_id)
    yield "README.txt", README.format(title=source.title).encode()
    yield "body.json", _dump(_body_of(experiment))
    yield "rerun.sh", RERUN.encode()
    yield "experiment.json", _dump(experiment.model_dump(mode="json"))
    yield "result.json", _dump(summary)
    yield "metrics.csv", to_csv(rows).encode()
    for point in source.points:
        yield f"specs/point-{point.index:04d}.json", _dump(point.spec.model_dump(mode="json"))
    yield "events.jsonl", _read_events(db, experiment_id)
    yield from _draw_plots(source)
    yield from _read_runs(db, blobs, experiment_id, with_files)


def _body_of(experiment: Experiment) -> dict[str, Any]:
    fields = {"spec", "sweep", "seeds", "execution", "name", "labels", "priority", "max_seconds"}
    return experiment.model_dump(mode="json", include=fields, exclude_none=True)


def _read_events(db: Database, experiment_id: str) -> bytes:
    lines: list[str] = []
    while True:
        with db.read() as session:
            page = events.list_events(session, experiment_id, len(lines), PAGE)
        lines += [event.model_dump_json() for event in page]
        if len(page) < PAGE:
            return "".join(f"{line}\n" for line in lines).encode()


def _draw_plots(source: StoredPlotInput) -> Iterator[tuple[str, bytes]]:
    if not any(point.results for point in source.points):
        return
    from engine.plotting import PlotOptions, save

    plots, options = source.kind.load_plots(), PlotOptions()
    for plot in get_kind(source.kind.name).plots:
        if plot.default:
            numbers = plots.numbers(plot.name, source)
            figure = plots.draw(plot.name, numbers, options)
            yield f"plots/{plot.name}.json", _dump(numbers)
            yield f"plots/{plot.name}.png", save(figure, "png", options)
            yield f"plots/{plot.name}.svg", save(figure, "svg", options)
            set_table = plot.load_table()
            if set_table is not None:
                yield f"plots/{plot.name}.html", tables.to_html(set_table(numbers)).encode()
                yield f"plots/{plot.name}.csv", tables.to_csv(numbers).encode()


def _read_runs(
    db: Database, blobs: BlobStore, experiment_id: str, with_files: bool
) -> Iterator[tuple[str, bytes]]:
    cursor = None
    while True:
        with db.read() as session:
            rows, cursor = run_resources.list_runs(session, experiment_id, limit=PAGE, cursor=cursor)
            found = [
                (
                    row,
                    [
                        *artifacts.list_artifacts(session, row.id, "checkpoint"),
                        *artifacts.list_artifacts(session, row.id, "artifact"),
                    ],
                )
                for row in rows
            ]
        for row, files in found:
            if row.manifest is not None:
                yield f"manifests/{row.id}.json", _dump(row.manifest)
            for file in files if with_files else ():
                yield f"files/{row.id}/{file.id}-{artifacts.file_name(file)}", blobs.read(file.sha256)
        if cursor is None:
            return


def _dump(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
