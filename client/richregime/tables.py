"""Results, comparisons and lists as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from rich.box import SIMPLE_HEAVY
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from richregime.enums import ExperimentStatus
from richregime.formatting import (
    format_duration,
    format_point,
    format_range,
    format_statistic,
    format_value,
)
from richregime.layout import lines_of, shorten
from richregime.types import (
    ComparedExperiment,
    ComparedQuantity,
    ComparedStatistic,
    Comparison,
    Experiment,
    ExperimentComparison,
    FieldValue,
    PointResult,
    Preview,
    Result,
    Run,
    SeedPlan,
    SpecDifference,
    Statistic,
    StatisticDifference,
    WaitingExperiment,
)

SEEDS_WIDTH = 20
"""Most characters of a run's seeds."""
CREATED = "created (UTC)"
ABSENT = "–"
ONLY_POINT = "the only point"


def result_table(result: Result, title: str, console: Console) -> Table:
    """Every statistic of every point as mean ± standard error, without cutting a number.

    A row per point where the console is wide enough, else a row per point and statistic. Works for
    results of every kind. The outcome is shown if some point is not trained.
    """
    for separator in (" ", "\n"):
        wide = _wide_table(result, title, separator)
        if console.measure(wide, options=console.options.update(width=10_000)).maximum <= (
            console.width
        ):
            return wide
    return _long_table(result, title)


def _empty_table(title: str) -> Table:
    return Table(
        title=title,
        caption="mean ± one standard error over the seeds",
        box=SIMPLE_HEAVY,
        pad_edge=False,
        collapse_padding=True,
    )


def _wide_table(result: Result, title: str, separator: str) -> Table:
    """A row per point. separator: between the words of a heading."""
    points = result.points
    axes = names_in_order(point.point for point in points)
    statistics = [statistics_of(point) for point in points]
    fields = names_in_order(statistics)
    any_untrained = any(point.outcome != "trained" for point in points)
    table = _empty_table(title)
    for axis in axes:
        table.add_column(axis, justify="right", no_wrap=True)
    for field in fields:
        table.add_column(field.replace("_", separator), justify="right", no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    if any_untrained:
        table.add_column("outcome", no_wrap=True)
    for point, found in zip(points, statistics, strict=True):
        table.add_row(
            *(format_cell(point.point.get(axis, "")) for axis in axes),
            *(show_statistic(found[field]) if field in found else "" for field in fields),
            str(len(point.seeds)),
            *((str(point.outcome),) if any_untrained else ()),
        )
    return table


def _long_table(result: Result, title: str) -> Table:
    """A row per point and statistic; the first row of a point names it."""
    any_untrained = any(point.outcome != "trained" for point in result.points)
    table = _empty_table(title)
    table.add_column("point", overflow="fold")
    table.add_column("quantity", overflow="fold")
    table.add_column("value", no_wrap=True)
    for point in result.points:
        rows = [
            (name.replace("_", " "), show_statistic(one))
            for name, one in statistics_of(point).items()
        ]
        rows.append(("seeds", str(len(point.seeds))))
        if any_untrained:
            rows.append(("outcome", str(point.outcome)))
        name = _format_axes(point.point) or ONLY_POINT
        for index, row in enumerate(rows):
            table.add_row("" if index else name, *row, end_section=index == len(rows) - 1)
    return table


def verdicts_table(comparison: Comparison) -> Table:
    """A row per verdict: the claim, what was found, how the points were made, all departures."""
    table = Table(
        title=f"claims of the paper, {comparison.experiment_id}",
        box=SIMPLE_HEAVY,
        pad_edge=False,
    )
    for column in ("claim", "verdict", "found", "points"):
        table.add_column(column, no_wrap=column == "verdict", overflow="fold")
    for one in comparison.verdicts:
        made = (
            "decided by theory" if one.decided_by == "theory" else "",
            f"{one.scale} scale",
            f"reading {one.reading}" if one.reading else "",
            f"departs from the paper: {'; '.join(one.departures)}" if one.departures else "",
        )
        table.add_row(
            Text(f"{one.claim}. {one.title}" + (f" ({one.label})" if one.label else "")),
            one.verdict,
            one.sentence,
            Text(", ".join(filter(None, made))),
        )
    return table


def own_verdicts_table(comparison: Comparison) -> Table:
    """A row per claim of the submission: the verdict, and what was found."""
    table = Table(
        title=f"claims of the submission, {comparison.experiment_id}",
        box=SIMPLE_HEAVY,
        pad_edge=False,
    )
    for column in ("claim", "verdict", "found"):
        table.add_column(column, no_wrap=column == "verdict", overflow="fold")
    for one in comparison.own_verdicts:
        table.add_row(Text(one.name), one.verdict, Text(one.sentence))
    return table


def published_table(comparison: Comparison) -> Table:
    """A row per number that the paper prints, with ours."""
    table = Table(title="numbers that the paper prints", box=SIMPLE_HEAVY, pad_edge=False)
    for column in ("point", "quantity", "the paper's", "ours", "source"):
        table.add_column(column, overflow="fold")
    for one in comparison.published:
        table.add_row(
            Text(one.label),
            one.quantity.replace("_", " "),
            one.printed,
            "" if one.ours is None else show_statistic(one.ours),
            one.source,
        )
    return table


def format_cell(value: Any) -> str:
    """A swept value in a cell; an object (a model, a policy) by its name and fields."""
    if not isinstance(value, Mapping):
        return str(value)
    fields = [f"{name}={inner}" for name, inner in value.items() if name != "name"]
    return " ".join([str(value.get("name", "")), *fields]).strip()


def _format_axes(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{axis} {format_cell(value)}" for axis, value in point.items())


def experiments_table(
    experiments: Sequence[Experiment], width: int, fields: Sequence[str] = ()
) -> Table | Group:
    """A line per experiment, or several where that is too wide. width: of the console.

    fields: further columns, whose values the experiments have.
    """
    columns = ("id", "status", "done", "kind", "points × seeds", CREATED, *fields, "name")
    rows = [
        (
            _title_of(one),
            (
                one.id,
                str(one.status),
                f"{one.progress.fraction:.0%}",
                one.kind,
                f"{one.num_points} × {len(one.seeds)}",
                f"{one.created_at:%Y-%m-%d %H:%M}",
                *(_describe_field((one.fields or {}).get(name)) for name in fields),
            ),
        )
        for one in experiments
    ]
    if not rows:
        return Group()
    return lines_of(columns, rows, width, named=fields, only_wide=[CREATED])


def _describe_field(value: FieldValue | None) -> str:
    """A number of the result with its error and the point that has it; else the value or values."""
    if value is None:
        return ""
    if value.points is not None:
        number = format_statistic(value.value, value.standard_error)
        return f"{number} ({format_point(value.point)})" if value.point else number
    if value.swept is not None:
        return ", ".join(map(format_value, value.swept))
    return format_value(value.value)


def _title_of(experiment: Experiment) -> str:
    return experiment.name or experiment.title or f"{experiment.kind}, without a name"


def experiment_table(
    experiment: Experiment, runs: Sequence[Run], address: str, width: int
) -> Group:
    """The facts of one experiment, and its runs. width: of the console."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    swept = "; ".join(
        f"{path} over {', '.join(map(format_value, values))}"
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
        ("starts", _describe_start(experiment)),
        ("left", _describe_left(experiment)),
        ("sweep", swept),
        ("seeds", ", ".join(map(str, experiment.seeds))),
        ("adds seeds", _describe_plan(experiment.seed_plan)),
        ("claims", "; ".join(claim.name for claim in experiment.claims)),
        ("labels", ", ".join(f"{key}:{value}" for key, value in experiment.labels.items())),
        ("imported from", experiment.imported_from or ""),
        ("unreadable", ", ".join(experiment.unreadable)),
        ("page", address),
    ):
        if value:
            facts.add_row(name, value)
    return Group(facts, "", _runs_table(runs, width))


def _describe_start(experiment: Experiment) -> str:
    """Why a queued experiment waits, or roughly when it starts; empty for others."""
    if experiment.status != ExperimentStatus.QUEUED:
        return ""
    if experiment.queue.reason:
        return f"waits: {experiment.queue.reason}"
    times, ahead = experiment.queue.starts_in_seconds, experiment.queue.runs_ahead
    when = (
        "when is not known" if times is None else f"roughly {format_range(times.low, times.high)}"
    )
    return f"{when}, {ahead} {'run' if ahead == 1 else 'runs'} ahead"


def _describe_left(experiment: Experiment) -> str:
    seconds = experiment.progress.eta_seconds
    return "" if seconds is None else f"about {format_duration(seconds)}"


def _runs_table(runs: Sequence[Run], width: int) -> Table | Group:
    """A line per run, or two where that is too wide."""
    columns = ("run", "status", "done", "time", "device", "attempts", "point and seeds")
    rows = []
    for run in runs:
        point = format_point(run.point.values) or ONLY_POINT
        seeds = shorten(", ".join(map(str, run.seeds)), SEEDS_WIDTH)
        title = f"{point}, {'seed' if len(run.seeds) == 1 else 'seeds'} {seeds}"
        seconds = "" if run.elapsed_seconds is None else format_duration(run.elapsed_seconds)
        cells = (run.id, str(run.status), f"{run.progress.fraction:.0%}", seconds)
        rows.append((title, (*cells, run.device or "", str(run.attempts))))
    return lines_of(columns, rows, width) if rows else Group()


def queue_table(waiting: Sequence[WaitingExperiment], width: int) -> Table | Group:
    """The experiments that wait, and roughly when each starts."""
    rows = []
    for one in waiting:
        starts = "start unknown"
        if one.status == ExperimentStatus.RUNNING:
            starts = "has started"
        elif one.starts_in_seconds is not None:
            times = one.starts_in_seconds
            starts = format_range(times.low, times.high)
        rows.append((one.title, (one.id, f"{one.queued} runs", starts)))
    return lines_of(("id", "waiting", "start", "experiment"), rows, width) if rows else Group()


def _describe_plan(plan: SeedPlan | None) -> str:
    """How many more seeds there may be, and how many looks at the verdicts; empty for a list."""
    if plan is None:
        return ""
    looks = f"{plan.looks_made} of {plan.looks_planned} looks at the verdicts made"
    if plan.ended is not None:
        return f"no more: {plan.ended} ({looks})"
    return f"{plan.step} at a time until the verdicts are decided, to {plan.at_most} ({looks})"


def preview_table(preview: Preview) -> Group:
    """The points and the cost of a submission, and the warnings."""
    table = Table(
        title=f"{len(preview.points)} points, {preview.num_runs} runs, nothing started",
        box=SIMPLE_HEAVY,
    )
    for column in ("point", "parameters", "memory (MB)", "device time", "basis", "seeds reused"):
        table.add_column(column, justify="left" if column == "point" else "right")
    for point in preview.points:
        cells = (
            f"{point.parameters:,}",
            f"{point.memory_bytes / 1e6:,.0f}",
            format_duration(point.seconds),
            point.basis,
        )
        is_shared = point.trained_by is not None  # it loads the trainings of an earlier point
        reused = preview.num_seeds if is_shared else len(point.reused_seeds)
        table.add_row(format_point(point.values), *cells, str(reused))
    notes = [f"about {format_duration(preview.seconds)} of one device in total"]
    most = preview.growth
    if most is not None:
        notes = [
            f"about {format_duration(preview.seconds)} of one device for the first "
            f"{preview.num_seeds} seeds",
            f"at most {most.num_seeds} seeds in {most.num_runs} runs: about "
            f"{format_duration(most.seconds)}, with {most.looks_planned} looks at the verdicts",
        ]
    if preview.reuses_experiment:
        notes.append(f"identical to {preview.reuses_experiment}, which would be returned")
    notes += [f"differs from the paper: {text}" for text in preview.departures]
    return Group(table, *notes, *(f"warning: {text}" for text in preview.warnings))


def spec_differences_table(comparison: ExperimentComparison) -> Table:
    """A row per field that differs, with a column per experiment."""
    table = Table(title="fields that differ", box=SIMPLE_HEAVY, pad_edge=False)
    for column in ("field", *map(_name_of, comparison.experiments)):
        table.add_column(column, overflow="fold")
    for row in comparison.spec:
        table.add_row(row.path, *(_spec_cell(row, one) for one in comparison.experiments))
    return table


def _spec_cell(row: SpecDifference, experiment: ComparedExperiment) -> str:
    if experiment.id not in row.values:
        return ABSENT
    value = row.values[experiment.id]
    return ", ".join(map(format_value, value)) if isinstance(value, list) else format_value(value)


def differences_table(comparison: ExperimentComparison, quantity: ComparedQuantity) -> Table:
    """A row per point: the statistic of each experiment, and its difference to the first one's."""
    table = Table(
        title=quantity.quantity.replace("_", " "),
        caption="mean [95 % interval]; * if the interval of the difference (Welch) excludes zero",
        box=SIMPLE_HEAVY,
        pad_edge=False,
    )
    table.add_column("point")
    for index, experiment in enumerate(comparison.experiments):
        table.add_column(_name_of(experiment), justify="right")
        if index:
            table.add_column("− first", justify="right")
    for point in quantity.points:
        first, *others = (point.values.get(one.id) for one in comparison.experiments)
        pairs = ((_statistic_cell(one), _difference_cell(one)) for one in others)
        name = format_point(point.point) or ONLY_POINT
        table.add_row(name, _statistic_cell(first), *(cell for pair in pairs for cell in pair))
    return table


def _name_of(experiment: ComparedExperiment) -> str:
    return experiment.name or experiment.id


def _statistic_cell(statistic: ComparedStatistic | None) -> str:
    if statistic is None:
        return ABSENT
    interval = _interval(statistic.ci95, "") or (" no spread" if statistic.n > 1 else "")
    return f"{statistic.mean:.4g}{interval} n={statistic.n}"


def _difference_cell(statistic: ComparedStatistic | None) -> str:
    if statistic is None or statistic.difference is None:
        return ""
    difference = statistic.difference
    star = " *" if _excludes_zero(difference) else ""
    told = _interval(difference.ci95, "+")
    if difference.ci95 is None and statistic.n > 1 and statistic.ci95 is None:
        told = " (no spread)"
    return f"{difference.mean:+.4g}{told}{star}"


def _interval(interval: tuple[float, float] | None, sign: str) -> str:
    return "" if interval is None else f" [{interval[0]:{sign}.4g}, {interval[1]:{sign}.4g}]"


def _excludes_zero(difference: StatisticDifference) -> bool:
    interval = difference.ci95
    return interval is not None and (interval[0] > 0 or interval[1] < 0)


def show_statistic(statistic: Statistic) -> str:
    """Mean and standard error, rounded by the error."""
    return format_statistic(statistic.mean, statistic.standard_error)


def statistics_of(point: PointResult) -> dict[str, Statistic]:
    """The statistics among the fields of a point, by name; also those of an unknown kind."""
    found = {name: _to_statistic(value) for name, value in point}
    return {name: value for name, value in found.items() if value is not None}


def _to_statistic(value: Any) -> Statistic | None:
    if isinstance(value, Statistic):
        return value
    if not isinstance(value, Mapping) or not set(value) >= set(Statistic.model_fields):
        return None
    try:
        return Statistic.model_validate(value)
    except ValidationError:
        return None


def names_in_order(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys of all mappings, in the order of their first appearance."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))
