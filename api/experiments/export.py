"""Exports an experiment as a zip archive, streamed: one entry is in memory at a time."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from api.experiments.answer_tables import answer_table
from api.experiments.body import submission_body
from api.experiments.comparison_tables import compare_stored, tabulate_comparison
from api.experiments.drawing_limits import MAX_DRAWN_POINTS
from api.experiments.metric_tables import to_csv
from api.http.written_tables import write_table
from engine import tables
from engine.experiment_titles import title_of
from engine.experiments.registry import get_kind
from engine.plot_numbers import plot_numbers
from schemas.bundle import (
    BUNDLE_FILE,
    CHECKSUM_FILE,
    METRICS_FILE,
    Bundle,
    BundledFile,
    BundledPoint,
    BundledRun,
)
from schemas.resources import Experiment, Run
from schemas.status import RunStatus
from storage.database.engine import Database
from storage.database.tables import ArtifactRow, RunRow
from storage.experiments import find
from storage.experiments.resources import to_resource
from storage.files import artifacts
from storage.files.blobs import BlobStore
from storage.results import events, metrics
from storage.results.stored_results import StoredPlotInput, summarize_experiment
from storage.runs import resources as run_resources

PAGE = 200
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every entry: equal experiments give equal entries."""
IMAGE_FORMATS: tuple[Literal["png", "svg", "pdf"], ...] = ("png", "svg", "pdf")
TABLE_FORMATS = ("csv", "tex", "md")
RERUN = """#!/bin/sh
# Runs this experiment again, either through a service:
#   RICHREGIME_URL=http://127.0.0.1:8000 sh rerun.sh
# or, where RICHREGIME_URL is not set, by the engine alone in this machine's Python environment.
set -eu
cd "$(dirname "$0")"
if [ -n "${RICHREGIME_URL:-}" ]; then
    exec curl --fail-with-body -X POST "$RICHREGIME_URL/experiments" \\
        -H 'content-type: application/json' --data-binary @body.json
fi
exec python -m engine run body.json{seeds} --out "${1:-again}"
"""
README = """{title}

body.json        the submission: POST it to /experiments, or run it with rerun.sh
experiment.json  status, digest, times and notes
result.json      mean, standard error, 95 % interval and n of each quantity at each point
results.csv      the numbers that answer the question of its kind, a row a point, unrounded;
                 results.tex (booktabs) and results.md hold them rounded
own_claims.csv   verdicts on the claims of the submission, where it has some; also .tex and .md
claims.csv       verdicts on the claims of the paper, where its kind has claims; also .tex and .md
published.csv    numbers that the paper prints beside these, if any; also .tex and .md
metrics.csv      every logged value: point, seed, name, step, value
specs/           the spec of each point, with every default filled in
manifests/       of each run: versions, device, data set, timings
files/           files that the plots read; with `files=true` all checkpoints and artifacts
bundle.json      description for another service: POST the zip to its /import,
                 or `richregime import FILE.zip`
plots/           the usual plots of its kind as PNG, SVG and PDF, and their numbers as JSON;
                 tables also as HTML and CSV
events.jsonl     the event log, in order
SHA256SUMS       checksums: `sha256sum -c SHA256SUMS`
"""


class _Buffer:
    """The file that zipfile writes to; emptied after each entry."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """There is nothing to flush."""

    def close(self) -> None:
        """There is nothing to close."""

    def take(self) -> bytes:
        data = b"".join(self._written)
        self._written.clear()
        return data


def export(
    db: Database, blobs: BlobStore, experiment_id: str, source: StoredPlotInput, *, with_files: bool
) -> Iterator[bytes]:
    """The bytes of the zip, entry by entry."""
    buffer, sums = _Buffer(), []
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in _list_entries(db, blobs, experiment_id, source, with_files):
            _add(archive, name, data)
            sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
            yield buffer.take()
        _add(archive, CHECKSUM_FILE, "".join(sums).encode())
    yield buffer.take()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (0o755 if name.endswith(".sh") else 0o644) << 16
    archive.writestr(entry, data)


def _list_entries(
    db: Database, blobs: BlobStore, experiment_id: str, source: StoredPlotInput, with_files: bool
) -> Iterator[tuple[str, bytes]]:
    with db.read() as session:
        row = find.get_experiment(session, experiment_id)
        experiment = to_resource(session, row)
        summary = row.summary or summarize_experiment(source)
        rows = metrics.read_metrics(session, experiment_id=experiment_id)
    yield "README.txt", README.format(title=source.title).encode()
    yield "body.json", _dump(submission_body(experiment))
    yield "rerun.sh", _rerun_script(experiment).encode()
    yield "experiment.json", _dump(experiment.model_dump(mode="json"))
    yield "result.json", _dump(summary)
    title = title_of(row.name, row.kind, row.spec, row.sweep)
    yield from _write_tables(source, title, summary["points"])
    yield METRICS_FILE, to_csv(rows).encode()
    for point in source.points:
        yield f"specs/point-{point.index:04d}.json", _dump(point.spec.model_dump(mode="json"))
    yield "events.jsonl", _read_events(db, experiment_id)
    yield from _draw_plots(source)
    bundled: list[BundledRun] = []
    for run, manifest, files in _read_runs(db, experiment_id, source, with_files):
        if manifest is not None:
            yield manifest
        for path, sha256 in files:
            yield path, blobs.read(sha256)
        bundled.append(run)
    if row.finished_at is not None:
        yield BUNDLE_FILE, _dump(_bundle_of(experiment, source, bundled).model_dump(mode="json"))


def _rerun_script(experiment: Experiment) -> str:
    """The engine takes a list of seeds; an experiment that added some has come to one."""
    seeds = ",".join(map(str, experiment.seeds))
    return RERUN.replace("{seeds}", f" --seeds {seeds}" if experiment.seed_plan else "")


def _bundle_of(experiment: Experiment, source: StoredPlotInput, runs: list[BundledRun]) -> Bundle:
    assert experiment.finished_at is not None
    return Bundle(
        format=1,
        experiment_id=experiment.id,
        body=submission_body(experiment),
        notes=experiment.notes,
        seeds=None if experiment.seed_plan is None else experiment.seeds,
        seed_plan=experiment.seed_plan,
        created_at=experiment.created_at,
        started_at=experiment.started_at,
        finished_at=experiment.finished_at,
        points=[
            BundledPoint(values=dict(point.values), spec=point.spec.model_dump(mode="json"))
            for point in source.points
        ],
        runs=runs,
    )


def _read_events(db: Database, experiment_id: str) -> bytes:
    lines: list[str] = []
    while True:
        with db.read() as session:
            page = events.list_events(session, experiment_id, len(lines), PAGE)
        lines += [event.model_dump_json() for event in page]
        if len(page) < PAGE:
            return "".join(f"{line}\n" for line in lines).encode()


def _write_tables(
    source: StoredPlotInput, title: str, points: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, bytes]]:
    answers = answer_table(source.kind, title, points, complete=source.is_complete)
    if answers.rows:
        yield from _write_table("results", answers.to_text(), answers.to_numbers())
    compared = compare_stored(source)
    if compared is None:
        return
    if compared.own_verdicts:
        yield from _write_table("own_claims", *tabulate_comparison(title, compared, "own_claims"))
    if compared.verdicts:
        yield from _write_table("claims", *tabulate_comparison(title, compared, "claims"))
    if compared.published:
        yield from _write_table("published", *tabulate_comparison(title, compared, "published"))


def _write_table(
    name: str, table: tables.TextTable, numbers: Mapping[str, Any]
) -> Iterator[tuple[str, bytes]]:
    for ending in TABLE_FORMATS:
        yield f"{name}.{ending}", write_table(table, numbers, ending)


def _draw_plots(source: StoredPlotInput) -> Iterator[tuple[str, bytes]]:
    if not any(point.results for point in source.points):
        return
    from engine.drawing.fitting import draw_plot
    from engine.plotting import PlotOptions, save

    kind, options = get_kind(source.kind.name), PlotOptions()
    plots = kind.load_plots()
    for plot in kind.plots:
        if plot.default and plot.explain_absence(source) is None:
            numbers = plot_numbers(kind, plot.name, source)
            yield f"plots/{plot.name}.json", _dump(numbers)
            if len(source.points) <= MAX_DRAWN_POINTS or not plot.draws_all:
                shown = plot_numbers(kind, plot.name, source, for_picture=True)
                figure = draw_plot(plots, plot.name, shown, options)
                for image_format in IMAGE_FORMATS:
                    yield f"plots/{plot.name}.{image_format}", save(figure, image_format, options)
            set_table = plot.load_table()
            if set_table is not None:
                yield f"plots/{plot.name}.html", tables.to_html(set_table(numbers)).encode()
                yield f"plots/{plot.name}.csv", tables.to_csv(numbers).encode()


def _read_runs(
    db: Database, experiment_id: str, source: StoredPlotInput, with_files: bool
) -> Iterator[tuple[BundledRun, tuple[str, bytes] | None, list[tuple[str, str]]]]:
    """Each run with the entry of its manifest and (entry, sha256) of its files.

    Without `with_files` only the files that the plots read.
    """
    cursor = None
    while True:
        with db.read() as session:
            rows, cursor = run_resources.list_runs(
                session, experiment_id, limit=PAGE, cursor=cursor
            )
            runs = run_resources.run_resources(session, rows)
            files = [
                [
                    *artifacts.list_artifacts(session, row.id, "checkpoint"),
                    *artifacts.list_artifacts(session, row.id, "artifact"),
                ]
                for row in rows
            ]
        for row, run, found in zip(rows, runs, files, strict=True):
            kept = [
                _describe_file(row.id, file)
                for file in found
                if with_files or file.sha256 in source.read_files
            ]
            manifest = (
                None if row.manifest is None else (f"manifests/{row.id}.json", _dump(row.manifest))
            )
            yield (
                _describe_run(row, run, kept),
                manifest,
                [(file.path, file.sha256) for file in kept],
            )
        if cursor is None:
            return


def _describe_run(row: RunRow, run: Run, files: list[BundledFile]) -> BundledRun:
    return BundledRun(
        point=run.point.index,
        seeds=run.seeds,
        status=run.status,
        attempts=run.attempts,
        interruptions=run.interruptions,
        reason=run.reason,
        detail=run.detail,
        device=run.device,
        elapsed_seconds=run.elapsed_seconds or 0.0,
        started_at=run.started_at,
        finished_at=run.finished_at,
        manifest=row.manifest,
        result=row.result if row.status is RunStatus.SUCCEEDED else None,
        files=files,
    )


def _describe_file(run_id: str, file: ArtifactRow) -> BundledFile:
    return BundledFile(
        path=f"files/{run_id}/{file.id}-{artifacts.file_name(file)}",
        role="checkpoint" if file.role == "checkpoint" else "artifact",
        name=file.name,
        seed=file.seed,
        epoch=file.epoch,
        media_type=file.media_type,
        sha256=file.sha256,
        bytes=file.num_bytes,
    )


def _dump(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
