"""Parallel coordinates of a sweep: a row for each field, a line for each point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from engine.drawing.figure import PlotFigure
from engine.drawing.measure import POINTS, text_inches, wrap_to
from engine.drawing.sweep_text import (
    best_place,
    color_scale,
    describe_intervals,
    describe_missing,
    describe_untrained,
    is_trained,
    name_quantity,
    scaled,
)
from engine.plotting import PlotOptions, add_title, new_figure

ROW_INCHES, FITTED_ROW_INCHES, MOST_ROWS = 0.85, 0.62, 12
"""Between two rows, where the width is not chosen and where it is; fields drawn, at most."""
BAND = 0.7
"""Of the width of a value, the share over which its lines are spread."""
NAME_SHARE = 0.28
"""Of the figure's width, at most for the names of the fields."""
BAR_INCHES = 0.75
UNTRAINED_DASH = (0, (2.5, 2.5))
"""Line of a point that did not train"""
AXIS_COLOR = "#333333"


def draw_parallel(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The lines of a value are side by side by the quantity; the best one is drawn black."""
    fields = numbers["fields"][:MOST_ROWS]
    figure = new_figure(options, 8.0, 1.6 + ROW_INCHES * len(fields))
    axes = figure.subplots()
    row = FITTED_ROW_INCHES if figure.is_fitted else ROW_INCHES
    figure.set_panel_height([axes], row * len(fields))
    points = numbers["points"]
    values = [scaled(numbers, point["mean"]) for point in points]
    scale, ends = color_scale(values)
    best = best_place(numbers)
    sign = 1.0 if numbers["quantity"]["better"] == "lower" else -1.0
    order = sorted(range(len(points)), key=lambda place: -sign * values[place])
    places = [_place_lines(numbers, field, order) for field in fields]
    paths = {
        place: [(places[row][place], float(row)) for row in range(len(fields))] for place in order
    }
    axes.add_collection(
        LineCollection(
            [paths[place] for place in order],
            colors=[scale(ends(values[place])) for place in order],
            linestyles=["-" if is_trained(points[place]) else UNTRAINED_DASH for place in order],
            linewidths=figure.scaled(0.9 if len(points) > 40 else 1.3),
            alpha=0.8,
            capstyle="round",
        )
    )
    if best is not None:
        axes.plot(
            *zip(*paths[best], strict=True),
            color="black",
            linestyle="-" if is_trained(points[best]) else UNTRAINED_DASH,
            linewidth=figure.scaled(1.6),
            zorder=2.5,
        )
    axes.set(xlim=(-0.02, 1.02), ylim=(len(fields) - 1 + 0.45, -0.15))
    _name_rows(figure, axes, numbers, fields)
    height = figure.options.height or figure.scaled(row * len(fields))
    label = wrap_to(name_quantity(numbers), height, figure.text_size(8.0))
    figure.colorbar(ScalarMappable(norm=ends, cmap=scale), ax=axes, label=label)
    add_title(figure, numbers["title"], _note(numbers, fields, best is not None))
    return figure


def _list_values(numbers: Mapping[str, Any], field: Mapping[str, Any]) -> list[str]:
    path = field["path"]
    values = {point["texts"][path]: point["values"].get(path) for point in numbers["points"]}
    if field["is_number"]:
        return sorted(values, key=lambda text: float(values[text]))
    return list(values)


def _place_lines(
    numbers: Mapping[str, Any], field: Mapping[str, Any], order: Sequence[int]
) -> dict[int, float]:
    """Where each point's line meets the row: at its value, beside the other lines of the value."""
    texts = _list_values(numbers, field)
    by_text: dict[str, list[int]] = {text: [] for text in texts}
    for place in order:
        by_text[numbers["points"][place]["texts"][field["path"]]].append(place)
    found = {}
    for number, text in enumerate(texts):
        count = len(by_text[text])
        for rank, place in enumerate(by_text[text]):
            within = (rank + 0.5) / count - 0.5 if count > 1 else 0.0
            found[place] = (number + 0.5 + BAND * within) / len(texts)
    return found


def _name_rows(
    figure: PlotFigure,
    axes: Axes,
    numbers: Mapping[str, Any],
    fields: Sequence[Mapping[str, Any]],
) -> None:
    size = figure.text_size(8.0) if not figure.is_fitted else figure.text_size(7.0)
    names = [wrap_to(field["name"], NAME_SHARE * figure.get_figwidth(), size) for field in fields]
    axes.set_yticks(range(len(fields)), names, fontsize=size)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    beside = max(text_inches(name, size) for name in names) + figure.scaled(BAR_INCHES) + 0.2
    width = max(0.5, figure.get_figwidth() - beside)
    for row, field in enumerate(fields):
        axes.axhline(row, color=AXIS_COLOR, linewidth=figure.scaled(0.6), zorder=2)
        _name_values(figure, axes, row, _list_values(numbers, field), width, size)


def _name_values(
    figure: PlotFigure, axes: Axes, row: int, texts: Sequence[str], width: float, size: float
) -> None:
    """The values below their row: all of them, or few of many; each with a tick."""
    space = width / len(texts)
    gap = 0.6 * size / POINTS
    shown = [_fit(text, max(space - gap, 0.3 * width), size) for text in texts]
    widest = max(text_inches(text, size) for text in shown)
    every = max(1, -(-int(100 * (widest + gap)) // max(1, int(100 * space))))
    for number, text in enumerate(shown):
        if number % every:
            continue
        axes.annotate(
            text,
            ((number + 0.5) / len(texts), row),
            (0, -figure.scaled(3.0)),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=size,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
            zorder=4,
        )


def _fit(text: str, inches: float, size: float) -> str:
    """The text, shortened in its middle to the width."""
    letters = len(text)
    shown = text
    while letters > 3 and text_inches(shown, size) > inches:
        letters -= 1
        half = letters // 2
        shown = f"{text[:half]}…{text[len(text) - half :]}"
    return shown


def _note(numbers: Mapping[str, Any], fields: Sequence[Mapping[str, Any]], has_best: bool) -> str:
    text = describe_intervals(numbers["points"])
    if has_best:
        text += "; black: the best"
    text += "; lines of one value stand side by side by the quantity"
    if len(fields) < len(numbers["fields"]):
        text += f"; {len(fields)} of {len(numbers['fields'])} fields are drawn"
    text += describe_untrained(numbers["points"], "dashed")
    return text + describe_missing(numbers)
