"""Objects in a shell and in a notebook: a few lines of text, and a table in HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from richregime.formatting import format_duration, format_point, format_value
from richregime.layout import shorten
from richregime.resource import Resource
from richregime.tables import ONLY_POINT, names_in_order, show_statistic, statistics_of
from richregime.types import Comparison, Dataset, Experiment, Preview, Result

MAX_ROWS = 50
"""Rows of a table in a notebook; the object itself holds all."""
LINE = 100
"""Characters of a line in a shell."""

Row = Sequence[str]


def to_text(resource: Resource) -> str | None:
    """At most three lines; None for a class that has no text of its own."""
    lines = _lines_of(resource)
    return None if lines is None else "\n".join(shorten(line, LINE) for line in lines)


def to_html(resource: Resource) -> str | None:
    """The lines and a table; None for a class that has no display of its own. All text is escaped.

    Of more than `MAX_ROWS` rows the first are shown, and how many are left out.
    """
    lines = _lines_of(resource)
    if lines is None:
        return None
    heads, rows = _table_of(resource)
    parts = [f"<p><strong>{escape(lines[0])}</strong></p>"]
    parts += [f"<p>{escape(line)}</p>" for line in lines[1:]]
    if rows:
        parts += _write_table(heads, rows)
    return f"<div>{''.join(parts)}</div>"


def _lines_of(resource: Resource) -> list[str] | None:
    match resource:
        case Experiment():
            return _describe_experiment(resource)
        case Preview():
            return _describe_preview(resource)
        case Result():
            return _describe_result(resource)
        case Comparison():
            return _describe_comparison(resource)
        case Dataset():
            return _describe_dataset(resource)
    return None


def _table_of(resource: Resource) -> tuple[Row, list[Row]]:
    """(heads, rows); no rows for what the lines tell already."""
    match resource:
        case Experiment():
            return ("field", "values"), [
                (path, format_value(values)) for path, values in resource.sweep.items()
            ]
        case Result():
            return _tabulate_result(resource)
        case Comparison():
            heads = ("claim", "verdict", "found", "scale", "reading", "departures")
            return heads, list(_tabulate_verdicts(resource))
    return (), []


def _tabulate_verdicts(comparison: Comparison) -> Iterator[Row]:
    """Of the submission's claims, then of the paper's."""
    for own in comparison.own_verdicts:
        yield own.name, str(own.verdict), own.sentence, "", "", ""
    for one in comparison.verdicts:
        yield (
            " ".join(filter(None, (f"{one.claim}. {one.title}", format_point(one.point)))),
            str(one.verdict),
            one.sentence,
            str(one.scale),
            one.reading or "",
            "; ".join(one.departures),
        )


def _describe_experiment(one: Experiment) -> list[str]:
    left = one.progress.eta_seconds
    counts = ", ".join(f"{count} {name}" for name, count in one.counts.items() if count)
    state = f"{one.status}: {counts}" if counts else str(one.status)
    if not one.terminal and left is not None:
        state += f"; about {format_duration(left)} left"
    lines = [
        f"Experiment {one.id}: {one.title or one.name or one.kind}",
        f"{one.kind}, {_count(one.num_points, 'point')} x {_count(len(one.seeds), 'seed')}",
        state,
    ]
    return [*lines[:2], f"{one.reason}: {one.detail}"] if one.reason else lines


def _describe_preview(one: Preview) -> list[str]:
    cost = (
        f"computes nothing: {one.reuses_experiment} is identical"
        if one.reuses_experiment
        else f"about {format_duration(one.seconds)} of one device ({one.basis})"
    )
    told = [
        _count(len(found), what)
        for found, what in ((one.warnings, "warning"), (one.departures, "departure"))
        if found
    ]
    points, seeds = _count(len(one.points), "point"), _count(one.num_seeds, "seed")
    return [
        f"Preview: {points} x {seeds}, {_count(one.num_runs, 'run')}",
        cost,
        *(["; ".join(told) + " from the paper" * bool(one.departures)] if told else []),
    ]


def _describe_result(one: Result) -> list[str]:
    heads, rows = _tabulate_result(one)
    lines = [f"Result of {one.kind}: {_count(len(one.points), 'point')}, {one.seeds} seeds"]
    if rows:
        best = max(one.points, key=lambda point: point.test_accuracy.mean)
        name = format_point(best.point) or ONLY_POINT
        found = show_statistic(best.test_accuracy)
        lines.append(f"highest test accuracy: {found} ({name})")
        lines.append(", ".join(heads))
    return lines


def _describe_comparison(one: Comparison) -> list[str]:
    counts: dict[str, int] = {}
    names = [own.verdict for own in one.own_verdicts] + [other.verdict for other in one.verdicts]
    for name in names:
        counts[str(name)] = counts.get(str(name), 0) + 1
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    state = "" if one.complete else " (more seeds to come)"
    return [
        f"Comparison of {one.experiment_id} with the paper{state}",
        told or "no claim is about this kind of experiment",
        f"{_count(len(one.departures), 'departure')} from the paper",
    ]


def _describe_dataset(one: Dataset) -> list[str]:
    return [
        f"Data set {one.name}, version {one.version}: {one.title}",
        f"{one.train_size:,} + {one.test_size:,} examples of shape {format_value(one.shape)}, "
        f"{_count(one.num_classes, 'class', 'classes')}",
        *one.notes[:1],
    ]


def _tabulate_result(result: Result) -> tuple[Row, list[Row]]:
    axes = names_in_order(point.point for point in result.points)
    statistics = [statistics_of(point) for point in result.points]
    fields = names_in_order(statistics)
    heads = (*axes, *(field.replace("_", " ") for field in fields), "seeds", "outcome")
    rows: list[Row] = [
        (
            *(format_value(point.point.get(axis)) for axis in axes),
            *(show_statistic(found[field]) if field in found else "" for field in fields),
            str(len(point.seeds)),
            str(point.outcome),
        )
        for point, found in zip(result.points, statistics, strict=True)
    ]
    return heads, rows


def _write_table(heads: Row, rows: Sequence[Row]) -> Iterator[str]:
    yield f"<table><thead><tr>{_cells('th', heads)}</tr></thead><tbody>"
    for row in rows[:MAX_ROWS]:
        yield f"<tr>{_cells('td', row)}</tr>"
    yield "</tbody></table>"
    if len(rows) > MAX_ROWS:
        yield f"<p>{len(rows) - MAX_ROWS:,} more rows</p>"


def _cells(tag: str, cells: Iterable[str]) -> str:
    return "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
