"""Tables of results that fit the width of a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from engine.tables import TextColumn, TextTable

MAX_COLUMNS = 8
"""Beside each other on a page"""
LONG_CELL = 24
"""Letters of a cell beyond which its column is text that wraps."""


def fit_to_page(table: TextTable, num_axes: int, labels: Sequence[str]) -> Iterator[TextTable]:
    """The table, turned or split where it has too many columns for a page.

    num_axes: the first columns, which name the point of a row. labels: a name for each row.
    """
    if len(table.columns) <= MAX_COLUMNS:
        yield table
    elif len(table.rows) < MAX_COLUMNS:
        yield _turn(table, num_axes, labels)
    else:
        yield from _split(table, num_axes)


def _turn(table: TextTable, num_axes: int, labels: Sequence[str]) -> TextTable:
    """A row for each number, a column for each point."""
    return replace(
        table,
        columns=[
            TextColumn("", "", is_text=True),
            *(TextColumn("", label or "value") for label in labels),
        ],
        rows=[
            [table.columns[place].heading, *(row[place] for row in table.rows)]
            for place in range(num_axes, len(table.columns))
        ],
    )


def _split(table: TextTable, num_axes: int) -> Iterator[TextTable]:
    """Tables below each other, each with the columns that name the point."""
    axes, rest = [*range(num_axes)], [*range(num_axes, len(table.columns))]
    step = max(1, MAX_COLUMNS - num_axes)
    starts = range(0, len(rest), step)
    for number, start in enumerate(starts, 1):
        places = [*axes, *rest[start : start + step]]
        yield TextTable(
            f"{table.title}, {number} of {len(starts)}",
            [table.columns[place] for place in places],
            [[row[place] for place in places] for row in table.rows],
            table.notes if number == len(starts) else [],
        )


def lay_out(table: TextTable) -> dict[str, object]:
    """`{"title", "heads", "is_left", "is_long", "rows", "notes"}`, as templates read it.

    A column with a long cell takes the space that is left; it is aligned left, as text is.
    """
    is_long = [
        any(len(row[place]) > LONG_CELL for row in table.rows)
        for place in range(len(table.columns))
    ]
    return {
        "title": table.title,
        "heads": [
            ": ".join(filter(None, (column.group, column.heading))) for column in table.columns
        ],
        "is_left": [
            column.is_text or wraps for column, wraps in zip(table.columns, is_long, strict=True)
        ],
        "is_long": is_long,
        "rows": [[cell.replace("± ", "±\u00a0") for cell in row] for row in table.rows],
        "notes": list(table.notes),
    }
