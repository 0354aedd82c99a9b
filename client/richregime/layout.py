"""Rows that fit a terminal of any width: none is wrapped, and only titles are shortened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

from rich.box import SIMPLE
from rich.cells import cell_len, chop_cells
from rich.console import Group
from rich.table import Table
from rich.text import Text

ELLIPSIS = "…"
GAP = 2
"""Blanks between columns."""
INDENT = "  "


def shorten(text: str, width: int) -> str:
    """The text on one line of at most `width` cells; of a longer one, the two ends."""
    line = " ".join(text.split())
    if cell_len(line) <= width:
        return line
    ends = max(0, width - cell_len(ELLIPSIS))
    first = ends - ends // 2
    return f"{_start(line, first)}{ELLIPSIS}{_start(line[::-1], ends - first)[::-1]}"[
        : max(0, width)
    ]


def _start(text: str, width: int) -> str:
    """The first characters that fit into `width` cells; wide ones take two."""
    return next(iter(chop_cells(text, width)), "") if width > 0 else ""


def lines_of(
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[str]]],
    width: int,
    named: Collection[str] = (),
    only_wide: Collection[str] = (),
) -> Table | Group:
    """A table where the longest row fits into `width` cells, else `records`.

    columns: headings of the cells, then that of the titles. rows: (title, cells).
    named: columns whose heading stands before each cell in `records`. only_wide: columns that
    `records` leave out.
    """
    lines = [(*cells, " ".join(title.split())) for title, cells in rows]
    sizes = [max(map(cell_len, column)) for column in zip(columns, *lines, strict=True)]
    if sum(sizes) + GAP * len(sizes) > width:
        told = [
            (title, _cells_of_record(columns, cells, named, only_wide)) for title, cells in rows
        ]
        return records(told, width)
    # The box adds a blank between columns.
    table = Table(box=SIMPLE, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    for heading in columns:
        table.add_column(heading, no_wrap=True)
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def _cells_of_record(
    columns: Sequence[str],
    cells: Sequence[str],
    named: Collection[str],
    only_wide: Collection[str],
) -> list[str]:
    return [
        f"{name} {cell}" if name in named and cell else cell
        for name, cell in zip(columns, cells, strict=False)
        if name not in only_wide
    ]


def records(rows: Sequence[tuple[str, Sequence[str]]], width: int) -> Group:
    """Each row as a line with its title and indented ones with its cells, which are aligned.

    What is too long for a line is shortened in its middle.
    """
    space = width - len(INDENT)
    columns = [
        [shorten(cell, space) for cell in column]
        for column in zip(*(cells for _, cells in rows), strict=True)
    ]
    sizes = [max(map(cell_len, column)) for column in columns]
    starts = [0]
    for index in range(1, len(sizes)):
        if sum(sizes[starts[-1] : index + 1]) + GAP * (index - starts[-1]) > space:
            starts.append(index)
    lines = []
    for (title, _), cells in zip(rows, zip(*columns, strict=True), strict=True):
        lines.append(Text(shorten(title, width), style="bold"))
        padded = [
            cell + " " * (size - cell_len(cell)) for cell, size in zip(cells, sizes, strict=True)
        ]
        for start, end in pairwise([*starts, len(sizes)]):
            line = (" " * GAP).join(padded[start:end]).rstrip()
            lines += [Text(INDENT + line)] if line else []
    return Group(*lines)
