"""What a report holds, before it is written as HTML, Markdown or PDF."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from api.experiments.answer_tables import answer_table
from api.experiments.body import submission_body
from api.experiments.comparison_tables import compare_stored
from api.experiments.drawing_limits import MAX_DRAWN_POINTS
from api.reports.page_tables import fit_to_page
from engine.answer_table import AnswerTable
from engine.durations import format_seconds
from engine.experiment_titles import title_of
from engine.findings import describe_findings
from engine.labels import label_axes
from engine.models.spec import PluginSpec
from engine.own_claims.judge import OwnVerdict
from engine.paper.comparison import PaperComparison
from engine.paper.comparison_tables import tabulate_published
from engine.paper.verdict import Verdict
from engine.plot_numbers import plot_numbers
from engine.spec import ExperimentSpec
from engine.tables import TextTable
from schemas.resources import Experiment, Run
from storage.database.engine import Database
from storage.database.tables import RunRow
from storage.experiments import find
from storage.experiments.resources import to_resource
from storage.files.blobs import BlobStore
from storage.results.stored_results import StoredPlotInput, summarize_experiment
from storage.runs import resources as run_resources

MAX_PARTS = 8
"""Experiments of one report"""
MAX_ROWS = 40
"""Of a table; the files of the experiment hold all."""
MAX_RUNS = 200
"""Runs whose time and machine are told"""
LINE_LENGTH = 110
"""Of JSON: what fits into it stands on one line."""
AGAIN = (
    "Save the following as body.json and POST it to /experiments of a service of the same version, "
    "or run it by the engine alone: python -m engine run body.json --out results."
)
PLUGIN_FIRST = (
    "First put the plug-in of the net {name}, the file whose source is {source}, into the folder "
    "plugins of the home; --plugins FOLDER names another one."
)
HOW_TO_CITE = (
    "Xinyan Li and Arindam Banerjee, Experiments with Rich Regime Training for Deep Learning.",
    "richregime {version}: experiments with rich-regime training as a service. Apache-2.0.",
)


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """A plot of the experiment."""

    title: str
    description: str
    svg: str


@dataclass(frozen=True, slots=True)
class ReportClaim:
    """A verdict, with what stands beside it."""

    name: str
    verdict: str
    sentence: str
    facts: str
    """Interval, number of seeds, scale, reading, and whether theory decides; empty for a claim of
    the submission, whose sentence says all"""
    departures: Sequence[str]


@dataclass(frozen=True, slots=True)
class ReportPart:
    """One experiment."""

    id: str
    title: str
    kind: str
    question: str
    is_complete: bool
    answers: Sequence[str]
    own_claims: Sequence[ReportClaim]
    """Of the submission"""
    claims: Sequence[ReportClaim]
    """Of the paper"""
    tables: Sequence[TextTable]
    figures: Sequence[ReportFigure]
    departures: Sequence[str]
    choices: Sequence[str]
    notes: str
    facts: Sequence[tuple[str, str]]
    again: str
    """How to run it again"""
    body: str
    """The JSON that submits it again"""


@dataclass(frozen=True, slots=True)
class Report:
    """Experiments, one after the other, and how to cite them."""

    title: str
    parts: Sequence[ReportPart]
    citations: Sequence[str]


def collect_report(db: Database, blobs: BlobStore, identifiers: Sequence[str]) -> Report:
    """The report of these experiments, in this order.

    Raises NotFound and UnreadableRow.
    """
    parts = [_collect_part(db, blobs, one) for one in identifiers]
    title = parts[0].title if len(parts) == 1 else f"{len(parts)} experiments"
    versions = {dict(part.facts).get("richregime", "") for part in parts} - {""}
    told = ", ".join(sorted(versions)) or "of an unknown version"
    return Report(title, parts, [text.format(version=told) for text in HOW_TO_CITE])


def _collect_part(db: Database, blobs: BlobStore, experiment_id: str) -> ReportPart:
    source = StoredPlotInput(db, blobs, experiment_id)
    source.require_readable()
    with db.read() as session:
        row = find.get_experiment(session, experiment_id)
        experiment = to_resource(session, row)
        run_rows, _ = run_resources.list_runs(session, experiment_id, limit=MAX_RUNS)
        runs = run_resources.run_resources(session, run_rows)
    title = title_of(row.name, row.kind, row.spec, row.sweep)
    summary = row.summary or summarize_experiment(source)
    answers = answer_table(source.kind, title, summary["points"], complete=source.is_complete)
    compared = compare_stored(source)
    return ReportPart(
        id=experiment.id,
        title=title,
        kind=source.kind.title,
        question=source.kind.question,
        is_complete=source.is_complete,
        answers=describe_findings(answers),
        own_claims=[_describe_own(one) for one in (compared.own_verdicts if compared else ())],
        claims=[_describe_claim(one) for one in (compared.verdicts if compared else ())],
        tables=list(_list_tables(answers, compared)),
        figures=list(_draw_figures(source)),
        departures=list(compared.departures) if compared else [],
        choices=list(compared.choices) if compared else [],
        notes=experiment.notes or "",
        facts=list(_list_facts(experiment, runs, run_rows, summary)),
        again=explain_again(point.spec for point in source.points),
        body=_write_json(submission_body(experiment, omit_defaults=True)),
    )


def explain_again(specs: Iterable[ExperimentSpec]) -> str:
    """How to run these points again: first the plug-ins, which the body names by their source."""
    models = (spec.model for spec in specs)
    plugins = {model.name: model.source for model in models if isinstance(model, PluginSpec)}
    first = (PLUGIN_FIRST.format(name=name, source=source) for name, source in plugins.items())
    return " ".join([*first, AGAIN])


def _write_json(value: Any, indent: str = "") -> str:
    """JSON with each list and object on one line, if it fits."""
    short = json.dumps(value)
    if len(indent) + len(short) <= LINE_LENGTH or not isinstance(value, dict | list):
        return short
    if isinstance(value, dict):
        lines = [
            f"{json.dumps(name)}: {_write_json(one, f'{indent} ')}" for name, one in value.items()
        ]
    else:
        lines = [_write_json(one, f"{indent} ") for one in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    inner = f",\n{indent} ".join(lines)
    return f"{first}\n{indent} {inner}\n{indent}{last}"


def _describe_own(verdict: OwnVerdict) -> ReportClaim:
    return ReportClaim(
        name=verdict.name,
        verdict=verdict.verdict,
        sentence=verdict.sentence,
        facts="",
        departures=(),
    )


def _describe_claim(verdict: Verdict) -> ReportClaim:
    point = ", ".join(f"{name} {value}" for name, value in verdict.point.items())
    interval = (
        f"{100 * verdict.confidence:.4g} % interval of the finding that decides: "
        f"{verdict.interval[0]:.3g} to {verdict.interval[1]:.3g}"
        if verdict.interval
        else ""
    )
    is_told = bool(interval) and "% interval" in verdict.sentence
    facts = (
        "" if is_told else interval,
        "" if is_told else f"n = {verdict.n}",
        f"{verdict.scale} scale",
        f"reading {verdict.reading}" if verdict.reading else "no reading of the paper",
        "decided by theory" if verdict.decided_by == "theory" else "",
    )
    return ReportClaim(
        name=f"{verdict.claim}. {verdict.title}" + (f" ({point})" if point else ""),
        verdict=verdict.verdict,
        sentence=verdict.sentence,
        facts=", ".join(filter(None, facts)),
        departures=verdict.departures,
    )


def _list_tables(answers: AnswerTable, compared: PaperComparison | None) -> Iterator[TextTable]:
    if answers.rows:
        ordered = answers.rank() if len(answers.rows) > MAX_ROWS else answers
        table = replace(ordered.to_text(), title="Results")
        labels = [row.label for row in ordered.rows]
        yield from fit_to_page(_shorten(table), len(ordered.axes), labels[:MAX_ROWS])
    if compared is not None and compared.published:
        yield _shorten(tabulate_published("Numbers that the paper prints", compared.published))


def _shorten(table: TextTable) -> TextTable:
    left = len(table.rows) - MAX_ROWS
    if left <= 0:
        return table
    note = f"The first {MAX_ROWS} of {len(table.rows):,} rows; the files of the experiment hold all"
    return replace(table, rows=table.rows[:MAX_ROWS], notes=[*table.notes, note])


def _draw_figures(source: StoredPlotInput) -> Iterator[ReportFigure]:
    if not any(point.results for point in source.points):
        return
    from engine.drawing.fitting import draw_plot
    from engine.plotting import PlotOptions, save

    plots = source.kind.load_plots()
    options = PlotOptions(width="text", title="none")
    for plot in source.kind.plots:
        is_too_large = plot.draws_all and len(source.values) > MAX_DRAWN_POINTS
        if not plot.default or plot.table_path is not None or is_too_large:
            continue
        if plot.explain_absence(source) is None:
            numbers = plot_numbers(source.kind, plot.name, source, for_picture=True)
            figure = draw_plot(plots, plot.name, numbers, options)
            svg = save(figure, "svg", options).decode()
            quantity = numbers.get("quantity")
            title = f"{plot.title}: {quantity['title']}" if quantity else plot.title
            yield ReportFigure(title, plot.description, svg)


def _list_facts(
    experiment: Experiment,
    runs: Sequence[Run],
    rows: Sequence[RunRow],
    summary: Mapping[str, Any],
) -> Iterator[tuple[str, str]]:
    manifests = [row.manifest for row in rows if row.manifest]
    yield "Experiment", experiment.id
    yield "Digest", experiment.digest
    yield "Points", f"{experiment.num_points:,}"
    yield "Seeds", ", ".join(map(str, experiment.seeds))
    for path, values in experiment.sweep.items():
        (texts,) = label_axes([{path: value} for value in values]).values()
        yield f"Swept: {path}", "; ".join(texts)
    yield "Submitted", f"{experiment.created_at:%Y-%m-%d %H:%M} UTC"
    if experiment.finished_at is not None:
        yield "Finished", f"{experiment.finished_at:%Y-%m-%d %H:%M} UTC"
    elapsed = sum(run.elapsed_seconds or 0.0 for run in runs)
    yield "Device time", f"{format_seconds(elapsed)}, {len(summary['reused']):,} trainings reused"
    for title, name in (("Data set's sha256", "data_sha256"), ("Device", "device")):
        yield title, _join(manifest.get(name) for manifest in manifests)
    yield "Processor", _join(manifest.get("processor") for manifest in manifests)
    yield "Platform", _join(manifest.get("platform") for manifest in manifests)
    for package in ("richregime", "python", "torch", "numpy"):
        yield package, _join((one.get("versions") or {}).get(package) for one in manifests)


def _join(values: Iterator[Any]) -> str:
    return ", ".join(sorted({str(value) for value in values if value})) or "not known"
