"""Render a table of results as a self-contained HTML page and as CSV. Imports no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

from engine.csv_text import plain_cell
from engine.result import Statistic


@dataclass(frozen=True, slots=True)
class TextColumn:
    """One column and the heading above it."""

    group: str
    """Heading above several columns; empty for none."""
    heading: str
    is_text: bool = False
    """Left-aligned, as text is; numbers are right-aligned."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of formatted cells."""

    title: str
    columns: Sequence[TextColumn]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    """Remarks below the table."""


STYLE = """
body { font: 13.5px/1.45 system-ui, sans-serif; color: #111; background: #fff; margin: 2em auto; \
width: fit-content; max-width: 96vw; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; border-top: 1.5px solid; \
border-bottom: 1.5px solid; }
caption { font-weight: 600; text-align: left; padding-bottom: .6em; }
th, td { padding: .22em .65em; text-align: right; white-space: nowrap; }
th.text, td.text { text-align: left; }
thead th { font-weight: 600; vertical-align: bottom; }
thead tr:first-child th[colspan] { text-align: center; }
thead tr:first-child th:not(:empty) { border-bottom: 1px solid #999; }
thead tr:last-child th { border-bottom: 1px solid; }
tbody tr:nth-child(even) { background: #f4f4f4; }
ul { color: #444; font-size: 12px; max-width: 70em; padding-left: 1.2em; }
@media print { body { margin: 0; font-size: 9pt; } ul { font-size: 8pt; } }
""".strip()


def to_html(table: TextTable) -> str:
    """A whole page without external references."""
    head = "".join(
        f'<th scope="col"{_class_of(column)}>{escape(column.heading)}</th>'
        for column in table.columns
    )
    body = "\n".join(f"<tr>{_cells(row, table.columns)}</tr>" for row in table.rows)
    notes = "\n".join(f"<li>{escape(note)}</li>" for note in table.notes)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(table.title)}</title>
<style>
{STYLE}
</style>
</head>
<body>
<table>
<caption>{escape(table.title)}</caption>
<thead>
{_group_row(table.columns)}<tr>{head}</tr>
</thead>
<tbody>
{body}
</tbody>
</table>
<ul>
{notes}
</ul>
</body>
</html>
"""


def to_csv(numbers: Mapping[str, Any]) -> str:
    """The unrounded numbers of a table, `{"columns": [...], "points": [...]}`.

    A statistic takes four columns: its mean under the column's own name, then `..._standard_error`,
    `..._ci95_low` and `..._ci95_high`. Missing values are empty. No cell is a
    formula (`plain_cell`).
    """
    rows = numbers["points"]
    names = numbers["columns"]
    wide = {name for name in names if any(_is_statistic(row[name]) for row in rows)}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    heads = [part for name in names for part in (_parts_of(name) if name in wide else [name])]
    writer.writerow(map(plain_cell, heads))
    for row in rows:
        writer.writerow(
            [
                plain_cell(value)
                for name in names
                for value in (_spread(row[name]) if name in wide else [row[name]])
            ]
        )
    return stream.getvalue()


def _group_row(columns: Sequence[TextColumn]) -> str:
    if not any(column.group for column in columns):
        return ""
    cells = []
    for group, members in groupby(columns, key=lambda column: column.group):
        count = len(list(members))
        cells.append(
            f'<th scope="colgroup" colspan="{count}">{escape(group)}</th>'
            if group
            else "<th></th>" * count
        )
    return f"<tr>{''.join(cells)}</tr>\n"


def _cells(row: Sequence[str], columns: Sequence[TextColumn]) -> str:
    return "".join(
        f"<td{_class_of(column)}>{escape(cell)}</td>"
        for cell, column in zip(row, columns, strict=True)
    )


def _class_of(column: TextColumn) -> str:
    return ' class="text"' if column.is_text else ""


def _is_statistic(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == set(Statistic.model_fields)


def _parts_of(name: str) -> list[str]:
    return [name, f"{name}_standard_error", f"{name}_ci95_low", f"{name}_ci95_high"]


def _spread(value: Any) -> list[Any]:
    if value is None:
        return [None] * 4
    return [value["mean"], value["standard_error"], *(value["ci95"] or (None, None))]
