"""Results and lists as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from rich.box import SIMPLE, SIMPLE_HEAVY
from rich.console import Group
from rich.table import Table

from api.web.side_by_side import MetricRow, SpecRow
from api.web.wording import show_point
from api.web.wording import show_statistic as statistic_words
from api.web.wording import show_value as words_of
from engine.result import Statistic
from schemas.resources import Experiment, Run
from schemas.submission import Preview

UNBROKEN = "\u00a0"
"""A space at which no line ends: headings wrap rather than numbers."""
WIDE = 110
"""Characters from which a list shows everything."""


def result_table(result: Mapping[str, Any], title: str) -> Table:
    """A result's points as rows: the swept values, then every statistic as mean ± standard error.

    Works for any kind: a column stands for each field that holds a statistic in some point. The outcome is shown where
    a point did not train.
    """
    points: Sequence[Mapping[str, Any]] = result["points"]
    axes = _names(point["point"] for point in points)
    fields = _names(
        {name: None for name, value in point.items() if _statistic(value) is not None}
        for point in points
    )
    any_untrained = any(point.get("outcome", "trained") != "trained" for point in points)
    table = Table(
        title=title,
        caption="mean ± one standard error over the seeds",
        box=SIMPLE_HEAVY,
        pad_edge=False,
        collapse_padding=True,
    )
    for axis in axes:
        table.add_column(axis, justify="right", no_wrap=True)
    for field in fields:
        table.add_column(field.replace("_", " "), justify="right")
    table.add_column("seeds", justify="right", no_wrap=True)
    if any_untrained:
        table.add_column("outcome")
    for point in points:
        shown = [_statistic(point.get(field)) for field in fields]
        table.add_row(
            *(show_value(point["point"].get(axis, "")) for axis in axes),
            *("" if one is None else show_statistic(one).replace(" ", UNBROKEN) for one in shown),
            str(len(point.get("seeds", ()))),
            *((str(point.get("outcome", "")),) if any_untrained else ()),
        )
    return table


def verdicts_table(comparison: Mapping[str, Any]) -> Table:
    """A row a claim, or a claim and a point: the verdict, what decides it, and why."""
    table = Table(
        title=f"claims of the paper, {comparison['experiment_id']}",
        box=SIMPLE_HEAVY,
        pad_edge=False,
    )
    for column in ("claim", "verdict", "value", "95 % interval", "reason"):
        table.add_column(column, no_wrap=column == "verdict")
    for one in comparison["verdicts"]:
        point = ", ".join(f"{axis} {show_value(value)}" for axis, value in one["point"].items())
        interval = one["interval"]
        table.add_row(
            f"{one['claim']}. {one['title']}" + (f" ({point})" if point else ""),
            one["verdict"],
            "" if one["value"] is None else f"{one['value']:.4g}",
            ""
            if interval is None
            else f"[{interval[0]:.4g}, {interval[1]:.4g}]".replace(" ", UNBROKEN),
            one["reason"],
        )
    return table


def published_table(comparison: Mapping[str, Any]) -> Table:
    """A row a number that the paper prints, ours beside it."""
    table = Table(title="numbers that the paper prints", box=SIMPLE_HEAVY, pad_edge=False)
    for column in ("point", "quantity", "the paper's", "ours", "source"):
        table.add_column(column)
    for one in comparison["published"]:
        ours = _statistic(one["ours"])
        table.add_row(
            ", ".join(f"{axis} {show_value(value)}" for axis, value in one["point"].items()),
            one["quantity"].replace("_", " "),
            one["printed"],
            "" if ours is None else show_statistic(ours),
            one["source"],
        )
    return table


def show_value(value: Any) -> str:
    """A swept value in a cell; a whole form (a model, a policy) by its name and fields."""
    if not isinstance(value, Mapping):
        return str(value)
    fields = [f"{name}={held}" for name, held in value.items() if name != "name"]
    return " ".join([str(value.get("name", "")), *fields]).strip()


def experiments_table(experiments: Iterable[Experiment], width: int) -> Table:
    """width: of the console, in characters; a narrow one is spared how many points and when."""
    is_wide = width >= WIDE
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for column in ("id", "status", "done", "kind"):
        table.add_column(column, no_wrap=True)
    table.add_column("name", overflow="fold")
    if is_wide:
        table.add_column("points × seeds", no_wrap=True, justify="right")
        table.add_column("created (UTC)", no_wrap=True)
    for one in experiments:
        size = (
            (f"{one.num_points} × {len(one.seeds)}", f"{one.created_at:%Y-%m-%d %H:%M}")
            if is_wide
            else ()
        )
        table.add_row(
            one.id, str(one.status), f"{one.progress.fraction:.0%}", one.kind, one.name or "", *size
        )
    return table


def experiment_table(experiment: Experiment, runs: Sequence[Run], address: str) -> Group:
    """One experiment in words, and its runs as a table."""
    facts = Table.grid(padding=(0, 2))
    asked = "; ".join(
        f"{path} over {', '.join(map(words_of, values))}"
        for path, values in experiment.sweep.items()
    )
    for name, value in (
        ("name", experiment.name or ""),
        ("kind", experiment.kind),
        (
            "status",
            f"{experiment.status} {experiment.reason or ''} {experiment.detail or ''}".strip(),
        ),
        ("done", f"{experiment.progress.fraction:.0%}"),
        ("sweep", asked),
        ("seeds", ", ".join(map(str, experiment.seeds))),
        ("labels", ", ".join(f"{key}:{value}" for key, value in experiment.labels.items())),
        ("imported from", experiment.imported_from or ""),
        ("unreadable", ", ".join(experiment.unreadable)),
        ("page", address),
    ):
        if value:
            facts.add_row(name, value)
    table = Table(box=SIMPLE_HEAVY, pad_edge=False)
    for column in ("run", "point", "seeds", "status", "done", "device", "seconds", "attempts"):
        table.add_column(column, no_wrap=column == "run")
    for run in runs:
        seconds = "" if run.elapsed_seconds is None else f"{run.elapsed_seconds:.1f}"
        cells = (
            run.id,
            show_point(run.point.values),
            ", ".join(map(str, run.seeds)),
            str(run.status),
        )
        table.add_row(
            *cells, f"{run.progress.fraction:.0%}", run.device or "", seconds, str(run.attempts)
        )
    return Group(facts, table)


def preview_table(preview: Preview) -> Group:
    """What a submission would do, its points, and what to think twice about."""
    table = Table(
        title=f"{len(preview.points)} points, {preview.num_runs} runs, nothing started",
        box=SIMPLE_HEAVY,
    )
    for column in ("point", "parameters", "memory (MB)", "seconds", "basis", "seeds reused"):
        table.add_column(column, justify="left" if column == "point" else "right")
    for point in preview.points:
        cells = (
            f"{point.parameters:,}",
            f"{point.memory_bytes / 1e6:,.0f}",
            f"{point.seconds:.3g}",
            point.basis,
        )
        table.add_row(show_point(point.values), *cells, str(len(point.reused_seeds)))
    notes = [f"about {preview.seconds:.3g} s of one device in all"]
    if preview.reuses_experiment:
        notes.append(f"identical to {preview.reuses_experiment}, which would be answered")
    return Group(table, *notes, *(f"warning: {text}" for text in preview.warnings))


def spec_differences_table(names: Sequence[str], rows: Iterable[SpecRow]) -> Table:
    """The fields that were asked differently, a column an experiment."""
    table = Table(title="what was asked differently", box=SIMPLE_HEAVY, pad_edge=False)
    for column in ("field", *names):
        table.add_column(column)
    for row in rows:
        table.add_row(row.path, *row.values)
    return table


def differences_table(names: Sequence[str], quantity: str, rows: Iterable[MetricRow]) -> Table:
    """A statistic at each point, and its difference to the first experiment's."""
    table = Table(
        title=quantity.replace("_", " "),
        caption="mean [95 % interval]; * where the difference's interval (Welch) leaves out zero",
        box=SIMPLE_HEAVY,
        pad_edge=False,
    )
    table.add_column("point")
    for place, name in enumerate(names):
        table.add_column(name, justify="right")
        if place:
            table.add_column("− first", justify="right")
    for row in rows:
        first, *others = row.cells
        pairs = [
            (cell.value, f"{cell.difference}{' *' if cell.is_apart else ''}") for cell in others
        ]
        table.add_row(row.point, first.value, *(text for pair in pairs for text in pair))
    return table


def show_statistic(statistic: Statistic) -> str:
    """Mean and standard error, with as many places as the error gives sense to."""
    return statistic_words(statistic.mean, statistic.standard_error)


def _statistic(value: Any) -> Statistic | None:
    if not isinstance(value, Mapping) or set(value) != set(Statistic.model_fields):
        return None
    try:
        return Statistic.model_validate(value)
    except ValidationError:
        return None


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys of all, in the order of their first appearance."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))
