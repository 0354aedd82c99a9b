"""Bars in rows, one a point, with their names on the left and their values on the right."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from engine.drawing.figure import PAGE_INCHES, SMALLEST_POINTS, PlotFigure
from engine.drawing.measure import POINTS, text_inches, wrap_to
from engine.plotting import PlotOptions, choose_points

MOST_BARS, MOST_FITTED_BARS = 40, 30
"""Points of one figure of bars, and of one of a chosen width; the numbers hold all."""
NAME_SHARE = 0.42
"""Of the width of a figure, at most for the names."""
ROW_INCHES, ROW_GAP_INCHES = 0.19, 0.06
"""Least height of a row, and space between two names."""
LINE_SPACING = 1.25
AXIS_INCHES, UPRIGHT_LINES = 0.55, 3
"""Width beside bars that are columns, and most lines of a name below one."""


def choose_bars(
    scores: Sequence[float | None], options: PlotOptions, names: Sequence[str]
) -> list[int]:
    """The points that have a bar, as `choose_points`. names: beside the bars."""
    if options.width is None:
        return choose_points(scores, MOST_BARS)
    return choose_points(scores, count_rows(options, names, MOST_FITTED_BARS))


def count_rows(options: PlotOptions, names: Sequence[str], most: int) -> int:
    """How many rows with these names a figure of a chosen width has: `most`, or a page of them."""
    assert options.width_inches is not None
    points = SMALLEST_POINTS * options.enlargement
    width = NAME_SHARE * options.width_inches
    lines = max(wrap_to(name, width, points).count("\n") + 1 for name in names)
    row = max(ROW_INCHES, lines * LINE_SPACING * SMALLEST_POINTS / POINTS + ROW_GAP_INCHES)
    return max(2, min(most, int(PAGE_INCHES / row)))


def fits_columns(figure: PlotFigure, names: Sequence[str], values: Sequence[str]) -> bool:
    """Whether the bars may be columns: names below and values above are upright and fit."""
    if not figure.is_fitted:
        return True
    size = figure.text_size(7.0)
    pitch = (figure.get_figwidth() - figure.scaled(AXIS_INCHES)) / len(names) - size / POINTS
    words = [word for name in names for word in name.split()]
    return (
        max(text_inches(text, size) for text in (*words, *values)) <= pitch
        and max(wrap_to(name, pitch, size).count("\n") for name in names) < UPRIGHT_LINES
    )


def wrap_names(figure: PlotFigure, names: Sequence[str]) -> list[str]:
    """The names in lines that leave most of the width to the bars."""
    size = figure.text_size(7.0)
    return [wrap_to(name, NAME_SHARE * figure.get_figwidth(), size) for name in names]


def draw_rows(
    figure: PlotFigure, axes: Axes, names: Sequence[str], values: Sequence[str] = ()
) -> None:
    """Name the bars at 0, 1, ... downwards; beside each its value. Sets the figure's height."""
    wrapped = wrap_names(figure, names)
    lines = max(name.count("\n") + 1 for name in wrapped)
    lines = max([lines, *(value.count("\n") + 1 for value in values)])
    size = figure.text_size(7.0)
    line = LINE_SPACING * size / POINTS / figure.options.enlargement
    row = max(ROW_INCHES, lines * line + ROW_GAP_INCHES)
    axes.set_yticks(range(len(names)), wrapped, fontsize=size)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    for place, value in enumerate(values):
        axes.annotate(
            value,
            (1.0, place),
            (figure.scaled(3.0), 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=size,
            annotation_clip=False,
        )
    figure.set_panel_height([axes], row * len(names))
