"""A quantity over two swept fields as a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, isfinite, nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from engine.drawing.colors import contrast_to_white
from engine.drawing.figure import PlotFigure
from engine.drawing.measure import POINTS, text_inches, wrap_to
from engine.drawing.sweep_text import (
    best_place,
    color_scale,
    describe_intervals,
    describe_missing,
    describe_untrained,
    is_trained,
    name_field,
    name_quantity,
    scaled,
)
from engine.plotting import PlotOptions, add_title, new_figure

ROW_INCHES, FITTED_ROW_INCHES, LEAST_INCHES, MOST_INCHES = 0.34, 0.24, 1.3, 6.5
"""Of a row where the width is not chosen, and where it is; of all rows."""
BESIDE_INCHES, BAR_INCHES = 0.45, 0.75
"""Width of the name of the rows, and of the colour bar with its numbers."""
NAME_SHARE = 0.3
"""Of the figure's width, at most for the values of the rows."""
MISSING = "#e8e8e8"
DARK = 3.0
"""Contrast to white, from which numbers in a cell are white."""


def draw_map(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """Columns and rows in the order of the values; a frame around the best cell."""
    columns, rows = (_list_values(numbers, numbers[axis]) for axis in ("x", "y"))
    figure = new_figure(options, 8.0, 5.0)
    axes = figure.subplots()
    places = {
        (point["texts"][numbers["y"]], point["texts"][numbers["x"]]): point
        for point in numbers["points"]
    }
    cells = [
        [
            scaled(numbers, point["mean"]) if (point := places.get((row, column))) else nan
            for column in columns
        ]
        for row in rows
    ]
    scale, ends = color_scale([value for row in cells for value in row])
    axes.set_facecolor(MISSING)
    image = axes.imshow(cells, origin="lower", aspect="auto", cmap=scale, norm=ends)
    axes.grid(visible=False)
    width, height = _name_axes(figure, axes, numbers, columns, rows)
    _write_cells(figure, axes, cells, width, (scale, ends))
    _mark(figure, axes, numbers, columns, rows)
    label = wrap_to(name_quantity(numbers), height, figure.text_size(8.0))
    figure.colorbar(image, ax=axes, label=label)
    add_title(figure, numbers["title"], _note(numbers))
    return figure


def _list_values(numbers: Mapping[str, Any], path: str) -> list[str]:
    """The texts of the field's values: numbers in ascending order, others as submitted."""
    values = {point["texts"][path]: point["values"].get(path) for point in numbers["points"]}
    if next(one["is_number"] for one in numbers["fields"] if one["path"] == path):
        return sorted(values, key=lambda text: float(values[text]))
    return list(values)


def _name_axes(
    figure: PlotFigure,
    axes: Axes,
    numbers: Mapping[str, Any],
    columns: Sequence[str],
    rows: Sequence[str],
) -> tuple[float, float]:
    """Name rows and columns, few of many. Returns inches: a column's width, and the height."""
    size = figure.text_size(9.0) if not figure.is_fitted else figure.text_size(7.0)
    row_inches = FITTED_ROW_INCHES if figure.is_fitted else ROW_INCHES
    height = min(MOST_INCHES, max(LEAST_INCHES, row_inches * len(rows)))
    figure.set_panel_height([axes], height)
    if not figure.is_fitted and figure.options.height is None:
        figure.set_figheight(height + 1.5)
    names = [wrap_to(row, NAME_SHARE * figure.get_figwidth(), size) for row in rows]
    lines = max(name.count("\n") + 1 for name in names)
    needed = lines * 1.3 * size / POINTS * len(rows)
    every = max(1, ceil(needed / figure.scaled(height)))
    shown = range(0, len(rows), every)
    axes.set_yticks(list(shown), [names[place] for place in shown])
    beside = max(text_inches(name, size) for name in names)
    beside += figure.scaled(BESIDE_INCHES + BAR_INCHES)
    width = max(0.3, figure.get_figwidth() - beside) / len(columns)
    _name_columns(axes, columns, width, size)
    axes.set(
        xlabel=name_field(numbers, numbers["x"]),
        ylabel=wrap_to(name_field(numbers, numbers["y"]), figure.scaled(height), size),
    )
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return width, figure.options.height or figure.scaled(height)


def _name_columns(axes: Axes, columns: Sequence[str], width: float, size: float) -> None:
    """Upright where they fit, in lines or few of many; else slanted."""
    gap = size / POINTS
    wrapped = [wrap_to(one, max(0.1, width - gap / 2), size) for one in columns]
    if all(one.split() == name.split() for one, name in zip(wrapped, columns, strict=True)):
        axes.set_xticks(range(len(columns)), wrapped)
        return
    widest = max(text_inches(one, size) for one in columns)
    every = -(-int(100 * (widest + gap)) // max(1, int(100 * width)))
    if every * 3 <= len(columns):
        shown = range(0, len(columns), every)
        axes.set_xticks(list(shown), [columns[place] for place in shown])
        return
    every = max(1, int(1.3 * size / POINTS / width) + 1)
    shown = range(0, len(columns), every)
    axes.set_xticks(
        list(shown), [_shorten(columns[place]) for place in shown], rotation=90, va="top"
    )


MOST_LETTERS = 26


def _shorten(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"


def _write_cells(
    figure: PlotFigure,
    axes: Axes,
    cells: Sequence[Sequence[float]],
    width: float,
    colors: tuple[Any, Any],
) -> None:
    """The values, where each fits into its cell."""
    size = figure.text_size(7.0)
    known = [value for row in cells for value in row if isfinite(value)]
    texts = {value: _format(value, known) for value in known}
    height = figure.scaled(FITTED_ROW_INCHES) if figure.is_fitted else ROW_INCHES
    total = min(MOST_INCHES, max(LEAST_INCHES, height * len(cells)))
    fits = total / len(cells) > 1.4 * size / POINTS
    if not fits or max(text_inches(text, size) for text in texts.values()) > 0.92 * width:
        return
    scale, ends = colors
    for row, values in enumerate(cells):
        for column, value in enumerate(values):
            if isfinite(value):
                is_dark = contrast_to_white(scale(ends(value))) > DARK
                text = axes.text(
                    column,
                    row,
                    texts[value],
                    ha="center",
                    va="center",
                    fontsize=size,
                    color="white" if is_dark else "black",
                )
                text.set_in_layout(False)  # it is inside its cell, and measuring it is slow


def _format(value: float, values: Sequence[float]) -> str:
    """With as many decimals as tell the values apart, at most three."""
    spread = max(values) - min(values)
    largest = max(map(abs, values))
    if largest >= 10_000 or (0 < largest < 0.01):
        return f"{value:.2g}"
    places = 0 if spread >= 100 else 1 if spread >= 2 else 2 if spread >= 0.2 else 3
    return f"{value:.{places}f}"


def _mark(
    figure: PlotFigure,
    axes: Axes,
    numbers: Mapping[str, Any],
    columns: Sequence[str],
    rows: Sequence[str],
) -> None:
    """A frame around the best cell, a cross over cells that did not train."""
    best, cut_corners = best_place(numbers), []
    for place, point in enumerate(numbers["points"]):
        column = columns.index(point["texts"][numbers["x"]])
        row = rows.index(point["texts"][numbers["y"]])
        if place == best:
            frame = Rectangle(
                (column - 0.5, row - 0.5),
                1,
                1,
                fill=False,
                edgecolor="#D55E00",
                linewidth=figure.scaled(1.8),
                zorder=3,
                clip_on=False,
            )
            axes.add_patch(frame)
        if not is_trained(point):
            cut_corners.append([(column - 0.5, row - 0.2), (column - 0.2, row - 0.5)])
    lines = LineCollection(cut_corners, colors="white", linewidths=figure.scaled(0.8))
    axes.add_collection(lines, autolim=False)


def _note(numbers: Mapping[str, Any]) -> str:
    text = describe_intervals(numbers["points"])
    if best_place(numbers) is not None:
        text += "; frame: the best"
    return text + describe_untrained(numbers["points"], "cut corner") + describe_missing(numbers)
