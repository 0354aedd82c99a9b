"""Panels of one figure: side by side where the width allows, else one above the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from engine.drawing.figure import PlotFigure
from engine.plotting import (
    MOST_FITTED_LINES,
    MOST_LINES,
    PlotOptions,
    choose_points,
)

LEAST_PANEL_INCHES = 1.85
"""Width of a panel with its labels, below which panels stand one above the other."""
LEAST_ROW_INCHES = 1.2
"""Height of a panel with its labels."""
LABEL_INCHES = 0.75
"""Above and below a panel for its title, its ticks and the name of its axis."""
PANEL_ASPECT, MOST_PANEL_INCHES = 0.54, 2.2
"""Height of a panel over its width, and largest height in inches."""


def count_panel_columns(figure: PlotFigure, count: int, most: int) -> int:
    """How many of `count` panels stand side by side: `most`, or as many as fit a chosen width.

    A chosen height holds as many rows as leave LEAST_ROW_INCHES to each.
    """
    if figure.is_fitted:
        fitting = max(1, int(figure.space / LEAST_PANEL_INCHES))
        height = figure.options.height
        if height is None or height >= LEAST_ROW_INCHES * -(-count // fitting):
            most = min(most, fitting)
        most = -(-count // -(-count // most))  # rows of nearly the same length
    return min(count, most)


def panel_height(figure: PlotFigure, columns: int) -> float:
    """Inches of one panel in a figure of a chosen width, before its enlargement."""
    return min(MOST_PANEL_INCHES, PANEL_ASPECT * (figure.space / columns))


def add_panels(
    figure: PlotFigure, count: int, *, most_inches: float = MOST_PANEL_INCHES, **shared: Any
) -> Sequence[Axes]:
    """`count` panels that belong together, all in one row or all in one column.

    most_inches: height of a panel in a figure of a chosen width, at most. shared: matplotlib's
    `subplots` arguments `sharex` and `sharey`.
    """
    is_row = count_panel_columns(figure, count, count) == count
    rows, columns = (1, count) if is_row else (count, 1)
    panels = figure.subplots(rows, columns, squeeze=False, **shared)
    height = min(most_inches, panel_height(figure, columns))
    figure.set_panel_height(panels[:, 0], rows * height)
    return list(panels.flat)


def choose_lines(scores: Sequence[float | None], options: PlotOptions) -> list[int]:
    """The points that have a line, as `choose_points`; fewer in a figure of a chosen width."""
    most = MOST_LINES if options.width is None else MOST_FITTED_LINES
    return choose_points(scores, most)


def is_first_column(axes: Axes) -> bool:
    spec = axes.get_subplotspec()
    return spec is not None and spec.is_first_col()


def is_last_row(axes: Axes) -> bool:
    spec = axes.get_subplotspec()
    return spec is not None and spec.is_last_row()
