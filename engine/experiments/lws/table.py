"""Table 1 as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.experiments.lws.table_text import tabulate
from engine.plotting import PlotOptions, new_figure
from engine.tables import TextColumn, TextTable

ROW_INCHES = 0.235
LETTER_INCHES = 0.07
MARGIN_INCHES = 0.3


def draw_table(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The cells of `tabulate`, columns as wide as their longest cell, with notes below."""
    table = tabulate(numbers)
    widths = [_width_of(table, place) for place in range(len(table.columns))]
    notes = [note for note in table.notes if not note.startswith("Departs")]
    figure = new_figure(
        options, 0.4 + sum(widths), 1.2 + ROW_INCHES * (len(table.rows) + len(notes))
    )
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(0, sum(widths)), ylim=(len(table.rows) + 0.4 + 0.8 * len(notes), -2.4))
    axes.set_title(table.title)
    right_edges = [sum(widths[: index + 1]) for index in range(len(widths))]
    _draw_header(axes, table.columns, widths, right_edges)
    for place, row in enumerate(table.rows):
        if place % 2:
            axes.axhspan(place, place + 1, color="#f4f4f4", linewidth=0)
        for text, column, width, right in zip(row, table.columns, widths, right_edges, strict=True):
            _write(axes, text, right, width, place + 0.5, is_text=column.is_text)
    axes.axhline(len(table.rows), color="black", linewidth=1.0)
    for place, note in enumerate(notes):
        axes.text(
            0.06,
            len(table.rows) + 0.6 + 0.8 * place,
            note,
            ha="left",
            va="center",
            fontsize=7,
            color="#666666",
        )
    return figure


def _width_of(table: TextTable, place: int) -> float:
    words = [table.columns[place].heading, *(row[place] for row in table.rows)]
    return MARGIN_INCHES + LETTER_INCHES * max(map(len, words))


def _draw_header(
    axes: Axes, columns: Sequence[TextColumn], widths: Sequence[float], right_edges: Sequence[float]
) -> None:
    for column, width, right in zip(columns, widths, right_edges, strict=True):
        _write(axes, column.heading, right, width, -0.55, is_text=column.is_text, weight="bold")
    for group in dict.fromkeys(column.group for column in columns if column.group):
        members = [index for index, column in enumerate(columns) if column.group == group]
        left = right_edges[members[0]] - widths[members[0]] + 0.15
        right = right_edges[members[-1]]
        axes.plot([left, right], [-1.1, -1.1], color="black", linewidth=0.6)
        axes.text(
            (left + right) / 2, -1.55, group, ha="center", va="center", fontsize=8.5, weight="bold"
        )
    axes.axhline(-2.1, color="black", linewidth=1.0)
    axes.axhline(-0.05, color="black", linewidth=0.8)


def _write(
    axes: Axes,
    text: str,
    right: float,
    width: float,
    y: float,
    *,
    is_text: bool,
    weight: str = "normal",
) -> None:
    x, align = (right - width + 0.06, "left") if is_text else (right - 0.04, "right")
    axes.text(x, y, text, ha=align, va="center", fontsize=8, weight=weight)
