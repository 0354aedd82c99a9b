"""A quantity of a sweep whose fields are no numbers: a row for each value, the best one on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from engine.drawing.bars import NAME_SHARE, count_rows, draw_rows
from engine.drawing.colors import OKABE_ITO, series_markers
from engine.drawing.figure import PlotFigure
from engine.drawing.measure import wrap_to
from engine.drawing.sweep_text import (
    UNTRAINED,
    describe_intervals,
    describe_missing,
    describe_untrained,
    is_trained,
    limit_interval,
    name_quantity,
    scaled,
)
from engine.drawing.text import wrap
from engine.plotting import PlotOptions, add_legend, add_title, new_figure, set_scales
from engine.point_choice import choose_few

MOST_ROWS = 30
"""Values of one figure; the numbers hold all."""
MOST_COLORED = len(OKABE_ITO)
NAME_LETTERS = 42
ROW_INCHES, LINE_INCHES = 0.3, 0.15
"""Of a figure of the default size: a row, and a further line of its name."""

Point = Mapping[str, Any]


def draw_ranking(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """Markers with intervals; a colour and a marker for each value of the other fields.

    Many values of the other fields are grey together.
    """
    better = numbers["quantity"]["better"]
    sign = 1.0 if better == "lower" else -1.0
    rows: dict[str, list[Point]] = {}
    for point in numbers["points"]:
        rows.setdefault(point["texts"][numbers["x"]], []).append(point)
    scores = {name: min(sign * point["mean"] for point in rows[name]) for name in rows}
    names = sorted(rows, key=lambda name: scores[name])
    figure = new_figure(options, 7.5, 6.0)
    shown = names
    most = MOST_ROWS if options.width is None else count_rows(options, names, MOST_ROWS)
    reason = ""
    if len(names) > most:
        chosen = choose_few([sign * -scores[name] for name in names], better, most=most)
        shown, reason = [names[place] for place in chosen.places], chosen.reason
    lines = list(dict.fromkeys(point["line"] for name in shown for point in rows[name]))
    axes = figure.subplots()
    for number, (line, marker) in enumerate(zip(lines, series_markers(len(lines)), strict=True)):
        is_many = len(lines) > MOST_COLORED
        found = [
            (place + _offset(number, len(lines)), point)
            for place, name in enumerate(shown)
            for point in rows[name]
            if point["line"] == line
        ]
        style = {
            "color": "#555555" if is_many else OKABE_ITO[number],
            "marker": "o" if is_many else marker,
        }
        _draw(figure, axes, numbers, found, style, "" if is_many else line)
    labels = [f"{_field(numbers)} {name}".strip() if len(name) < 3 else name for name in shown]
    _name_rows(figure, axes, labels)
    ends, cut = limit_interval(numbers, [point for name in shown for point in rows[name]])
    axes.set_xlim(ends)
    width = (1.0 - NAME_SHARE) * figure.get_figwidth()
    axes.set_xlabel(wrap_to(name_quantity(numbers), width, figure.text_size(8.0)))
    set_scales(axes, x=options.xscale or "linear")
    if 1 < len(lines) <= MOST_COLORED:
        add_legend(figure, axes)
    add_title(figure, numbers["title"], _note(numbers, rows, shown, reason, cut))
    return figure


def _offset(number: int, count: int) -> float:
    """Within the row, so that markers of one value do not hide one another."""
    return 0.0 if count < 2 or count > MOST_COLORED else 0.5 * (number / (count - 1) - 0.5)


def _field(numbers: Mapping[str, Any]) -> str:
    return next(str(one["name"]) for one in numbers["fields"] if one["path"] == numbers["x"])


def _draw(
    figure: PlotFigure,
    axes: Any,
    numbers: Mapping[str, Any],
    found: Sequence[tuple[float, Point]],
    style: Mapping[str, Any],
    label: str,
) -> None:
    means = [scaled(numbers, point["mean"]) for _, point in found]
    ends = [[scaled(numbers, end) for end in point["ci95"] or (None, None)] for _, point in found]
    rows = [row for row, _ in found]
    axes.errorbar(
        means,
        rows,
        xerr=[
            [mean - low for mean, (low, _) in zip(means, ends, strict=True)],
            [high - mean for mean, (_, high) in zip(means, ends, strict=True)],
        ],
        fmt="none",
        ecolor=style["color"],
        elinewidth=figure.scaled(0.8),
        capsize=figure.scaled(1.5),
    )
    size = figure.scaled(3.5)
    axes.plot(means, rows, linestyle="none", markersize=size, label=label or None, **style)
    hollow = [place for place, (_, point) in enumerate(found) if not is_trained(point)]
    if hollow:
        axes.plot(
            [means[place] for place in hollow],
            [rows[place] for place in hollow],
            linestyle="none",
            markersize=size,
            markerfacecolor=UNTRAINED,
            **style,
        )


def _name_rows(figure: PlotFigure, axes: Any, names: Sequence[str]) -> None:
    if figure.is_fitted:
        draw_rows(figure, axes, names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        return
    wrapped = [wrap(name, NAME_LETTERS) for name in names]
    lines = max(name.count("\n") + 1 for name in wrapped)
    if figure.options.height is None:
        row = ROW_INCHES + (lines - 1) * LINE_INCHES
        figure.set_figheight(max(2.6, 1.6 + row * len(names)))
    axes.set_yticks(range(len(names)), wrapped)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def _note(
    numbers: Mapping[str, Any],
    rows: Mapping[str, Sequence[Point]],
    shown: Sequence[str],
    reason: str,
    cut: bool,
) -> str:
    points = [point for name in shown for point in rows[name]]
    text = describe_intervals(points, "bar: 95 % interval")
    if cut:
        text += "; longer bars are cut off"
    if len(shown) < len(rows):
        text += f"; {len(shown)} of {len(rows)} values are drawn: {reason}"
    return text + describe_untrained(points, "white marker") + describe_missing(numbers)
