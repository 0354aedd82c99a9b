"""Table 1 as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.drawing.figure import PAGE_INCHES, PlotFigure
from engine.drawing.measure import POINTS, text_inches, wrap_to
from engine.experiments.lws.table_text import tabulate
from engine.plotting import (
    PlotOptions,
    add_title,
    choose_points,
    describe_left_out,
    new_figure,
)
from engine.tables import TextColumn, TextTable

ROW_INCHES = 0.235
LETTER_INCHES = 0.07
MARGIN_INCHES = 0.3
MOST_ROWS, MOST_FITTED_ROWS, MOST_INCHES = 60, (30, 20, 12, 8, 4), 10.5
"""Rows of the figure, and of one of a chosen width, tried in turn until it is at most so high;
HTML, CSV and JSON hold all."""
EDGE_INCHES, GAPS_INCHES, NAME_SHARE = 0.12, (0.1, 0.06), 0.5
"""In a figure of a chosen width: beside the table, between columns (the second where it saves a
block), and the most for names."""
LINE_SPACING, CELL_DROP, HEADER_LINES = 1.35, 0.25, 4.0
"""Of a line over the text size, drop of a cell's text, and lines above and below a block."""
NAMES = ("Policy", "Setting")


def draw_table(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The cells of `tabulate`, columns as wide as their longest cell, with notes below.

    In a figure of a chosen width the columns of numbers stand in as many blocks as they need, each
    with the names of the rows.
    """
    if options.width is None:
        return _draw_rows(numbers, options, MOST_ROWS)
    for most in MOST_FITTED_ROWS:
        figure = _draw_rows(numbers, options, most)
        if figure.stack_inches <= figure.scaled(MOST_INCHES):
            break
    return figure


def _draw_rows(numbers: Mapping[str, Any], options: PlotOptions, most: int) -> PlotFigure:
    """The same with at most so many rows, however high that is."""
    points = numbers["points"]
    chosen = choose_points([point["test_accuracy"]["mean"] for point in points], most)
    table = tabulate({**numbers, "points": [points[place] for place in chosen]})
    notes = [note for note in table.notes if not note.startswith("Departs")]
    left_out = describe_left_out(chosen, numbers).removeprefix("; ")
    notes += [f"Rows: {left_out}."] if left_out else []
    if options.width is not None:
        return _draw_blocks(table, notes, options)
    widths = [_width_of(table, place) for place in range(len(table.columns))]
    figure = new_figure(
        options, 0.4 + sum(widths), 1.2 + ROW_INCHES * (len(table.rows) + len(notes))
    )
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(0, sum(widths)), ylim=(len(table.rows) + 0.4 + 0.8 * len(notes), -2.4))
    axes.set_title(table.title if options.title == "shown" else "")
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


def _draw_blocks(table: TextTable, notes: Sequence[str], options: PlotOptions) -> PlotFigure:
    figure = new_figure(options, 6.0, 4.0)
    axes = figure.subplots()
    axes.set_axis_off()
    size, width = figure.text_size(7.0), figure.get_figwidth() - figure.scaled(EDGE_INCHES)
    line = LINE_SPACING * size / POINTS
    names = [place for place, column in enumerate(table.columns) if column.is_text]
    cells = _wrap_names(table, names, NAME_SHARE * width, size)
    layouts = []
    for gap in GAPS_INCHES:
        widths = [
            figure.scaled(gap) + _measure_column(column, [row[place] for row in cells], size)
            for place, column in enumerate(table.columns)
        ]
        layouts.append((_split_columns(table.columns, widths, names, width), widths))
    blocks, widths = min(layouts, key=lambda layout: len(layout[0]))
    lines = sum(max(row[place].count("\n") for place in names) + 1.1 for row in cells)
    most = max(1, int(PAGE_INCHES / (line * (lines + HEADER_LINES)) * options.enlargement))
    left_out = [table.columns[place].heading for block in blocks[most:] for place in block]
    y = 0.0
    for block in blocks[:most]:
        y = _draw_block(axes, table.columns, cells, widths, block, y, line, size) + line
    if left_out:
        shown = ", ".join(text for text in dict.fromkeys(left_out) if text not in NAMES)
        notes = [*notes, f"Not shown for want of width, but in the CSV: {shown}."]
    for note in notes:
        wrapped = wrap_to(note, width, size)
        axes.text(0.0, y, wrapped, ha="left", va="top", fontsize=size, color="#555555")
        y += (wrapped.count("\n") + 1.3) * line
    axes.set(xlim=(0, width), ylim=(y, 0))
    figure.set_panel_height([axes], y / figure.options.enlargement)
    add_title(figure, table.title)
    return figure


def _measure_column(column: TextColumn, cells: Sequence[str], size: float) -> float:
    """Inches that the cells and the words of the heading need."""
    words = [text_inches(word, size, "bold") for word in column.heading.split()]
    return max(*words, *(text_inches(cell, size) for cell in cells))


def _wrap_names(
    table: TextTable, names: Sequence[int], space: float, size: float
) -> list[list[str]]:
    """The cells, those of names in lines that together are at most `space` inches wide."""
    cells = [list(row) for row in table.rows]
    widths = {place: max(text_inches(row[place], size) for row in cells) for place in names}
    share = min(1.0, space / sum(widths.values()))
    for row in cells:
        for place in names:
            row[place] = wrap_to(row[place], 1.001 * share * widths[place], size)
    return cells


def _split_columns(
    columns: Sequence[TextColumn], widths: Sequence[float], names: Sequence[int], space: float
) -> list[list[int]]:
    """The columns of each block: those of names, then as many others as fit into the space."""
    blocks = [list(names)]
    for place in range(len(columns)):
        if place in names:
            continue
        used = sum(widths[other] for other in blocks[-1])
        if used + widths[place] > space and len(blocks[-1]) > len(names):
            blocks.append(list(names))
        blocks[-1].append(place)
    return blocks


def _draw_block(
    axes: Axes,
    columns: Sequence[TextColumn],
    cells: Sequence[Sequence[str]],
    widths: Sequence[float],
    block: Sequence[int],
    top: float,
    line: float,
    size: float,
) -> float:
    """Draw one block from `top` in inches, and return its bottom."""
    width = sum(widths[place] for place in block)
    edges = {
        place: sum(widths[other] for other in block[: at + 1]) for at, place in enumerate(block)
    }
    rules: dict[str, Any] = {"color": "black", "linewidth": rcParams["axes.linewidth"]}
    axes.plot([0, width], [top, top], **rules)
    y = top + 0.2 * line
    groups: dict[str, list[int]] = {}
    for place in block:
        groups.setdefault(columns[place].group, []).append(place)
    spans = {
        group: (edges[members[0]] - widths[members[0]], edges[members[-1]])
        for group, members in groups.items()
        if group
    }
    texts = {
        group: wrap_to(group, right - left, size, "bold") for group, (left, right) in spans.items()
    }
    lines = max((text.count("\n") + 1 for text in texts.values()), default=0)
    for group, (left, right) in spans.items():
        middle: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": size, "weight": "bold"}
        axes.text((left + right) / 2, y, texts[group], **middle)
        axes.plot([left + 0.5 * line, right], [y + (lines + 0.1) * line] * 2, **rules)
    y += (lines + 0.2) * line
    headings = {
        place: wrap_to(columns[place].heading, widths[place], size, "bold") for place in block
    }
    for place, heading in headings.items():
        _write_cell(axes, columns[place], heading, edges[place], widths[place], y, size, "bold")
    y += (max(heading.count("\n") for heading in headings.values()) + 1.2) * line
    axes.plot([0, width], [y, y], **rules)
    for at, row in enumerate(cells):
        height = line * (max(row[place].count("\n") for place in block) + 1.1)
        if at % 2:
            axes.fill_between([0, width], y, y + height, color="#f0f0f0", linewidth=0)
        for place in block:
            _write_cell(axes, columns[place], row[place], edges[place], widths[place], y, size)
        y += height
    axes.plot([0, width], [y, y], **rules)
    return y


def _write_cell(
    axes: Axes,
    column: TextColumn,
    text: str,
    right: float,
    width: float,
    y: float,
    size: float,
    weight: str = "normal",
) -> None:
    """A cell that hangs from `y`."""
    x, align = (right - width, "left") if column.is_text else (right, "right")
    drop = CELL_DROP * size / POINTS
    axes.text(x, y + drop, text, ha=align, va="top", fontsize=size, weight=weight)


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
