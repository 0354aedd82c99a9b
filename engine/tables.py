"""Render a table of results as HTML, LaTeX, Markdown and CSV. Imports no torch."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby, repeat
from typing import Any

from engine.csv_text import plain_cell
from engine.result import is_statistic


@dataclass(frozen=True, slots=True)
class TextColumn:
    """One column and the heading above it."""

    group: str
    """Heading above several columns; empty for none."""
    heading: str
    is_text: bool = False
    """Left-aligned, as text is; numbers are right-aligned."""
    is_long: bool = False
    """Text of several lines."""


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


def to_latex(table: TextTable) -> str:
    """A `table` of the package booktabs; title and notes are its caption, the title its label.

    A table that is wider than a column of a paper spans both (`table*`); one that is wider than its
    text is smaller too. All text is escaped. Characters that only LuaLaTeX and XeLaTeX read stay as
    they are.
    """
    caption = " ".join(filter(None, (_end_sentence(table.title), *map(_end_sentence, table.notes))))
    width = sum(map(_estimate_width, range(len(table.columns)), repeat(table)))
    environment = "table" if width <= COLUMN_WIDTH else "table*"
    is_small = width > TEXT_WIDTH
    lines = [
        r"% \usepackage{booktabs}",
        rf"\begin{{{environment}}}",
        r"  \centering",
        *([r"  \footnotesize", r"  \setlength{\tabcolsep}{3pt}"] if is_small else []),
        rf"  \caption{{{escape_latex(caption)}}}",
        rf"  \label{{tab:{_latex_label(table.title)}}}",
        rf"  \begin{{tabular}}{{{''.join(map(_latex_column, table.columns))}}}",
        r"    \toprule",
        *_latex_groups(table.columns),
        _latex_row(column.heading for column in table.columns),
        r"    \midrule",
        *map(_latex_row, table.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        rf"\end{{{environment}}}",
    ]
    return "\n".join(lines) + "\n"


COLUMN_WIDTH, TEXT_WIDTH = 234.0, 486.0
"""Points: 3.25 and 6.75 inches, the widths of figures too."""
LETTER_WIDTH, COLUMN_GAP = 5.0, 12.0
"""Points that a letter of LaTeX's 10 point text takes on average, and a gap between columns."""
MAX_LABEL = 60


def _estimate_width(place: int, table: TextTable) -> float:
    """Roughly the points that a column of the table takes."""
    if table.columns[place].is_long:
        return 0.4 * TEXT_WIDTH
    cells = (table.columns[place].heading, *(row[place] for row in table.rows))
    return LETTER_WIDTH * max(map(len, cells)) + COLUMN_GAP


def _latex_label(title: str) -> str:
    """The title's words in lower case, which LaTeX takes as a label."""
    return "-".join(re.findall("[a-z0-9]+", title.lower()))[:MAX_LABEL].strip("-") or "result"


def escape_latex(text: str) -> str:
    """The text on one line, with nothing that LaTeX would take for a command."""
    one_line = " ".join(text.split())
    minus = re.sub(r"(?<!\w)[-\u2212](?=\d)", "\u2212", one_line)
    return "".join(_LATEX.get(character, character) for character in minus)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "{}$&#_%"},
    # a cell that begins with one of these would be an argument of the line end before it
    "[": "{[}",
    "*": "{*}",
    '"': "''",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\u00b1": r"$\pm$",
    "\u00d7": r"$\times$",
    "\u2212": "$-$",
    "\u2013": "--",
    "\u2014": "---",
    "\u2026": r"\ldots{}",
    "\u2020": r"\dag{}",
    "\u03b1": r"$\alpha$",
    "\u03b3": r"$\gamma$",
    "\u03b5": r"$\epsilon$",
    "\u03c1": r"$\rho$",
    "\u00b2": r"$^2$",
}


def to_markdown(table: TextTable) -> str:
    """A table of GitHub's Markdown, its title above it and its notes below.

    A group stands before the headings of its columns.
    """
    heads = [": ".join(filter(None, (one.group, one.heading))) for one in table.columns]
    rules = ["---" if column.is_text else "---:" for column in table.columns]
    rows = [_markdown_row(map(escape_markdown, row)) for row in (heads, *table.rows)]
    title = [f"**{escape_markdown(table.title)}**", ""] if table.title else []
    notes = ["", *(f"- {escape_markdown(note)}" for note in table.notes)] if table.notes else []
    return "\n".join([*title, rows[0], _markdown_row(rules), *rows[1:], *notes]) + "\n"


def escape_markdown(text: str) -> str:
    """The text on one line, with nothing that Markdown or HTML would take for markup."""
    return re.sub(r"([\\`*_<>\[\]|~$&#])", r"\\\1", " ".join(text.split()))


WRITERS: Mapping[str, Callable[[TextTable], str]] = {
    "html": to_html,
    "tex": to_latex,
    "md": to_markdown,
}
"""By file extension; CSV holds the numbers, not the text"""


def to_csv(numbers: Mapping[str, Any]) -> str:
    """The unrounded numbers of a table, `{"columns": [...], "points": [...]}`.

    A statistic takes five columns: its mean under the column's own name, then
    `..._standard_error`, `..._ci95_low`, `..._ci95_high` and `..._n`. Missing values are empty, an
    object or a list is JSON. No cell is a formula (`plain_cell`).
    """
    rows = numbers["points"]
    names = numbers["columns"]
    wide = {name for name in names if any(is_statistic(row[name]) for row in rows)}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    heads = [part for name in names for part in (_parts_of(name) if name in wide else [name])]
    writer.writerow(map(plain_cell, heads))
    for row in rows:
        writer.writerow(
            [
                plain_cell(_flat(value))
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


def _parts_of(name: str) -> list[str]:
    return [name, *(f"{name}_{part}" for part in ("standard_error", "ci95_low", "ci95_high", "n"))]


def _spread(value: Any) -> list[Any]:
    if value is None:
        return [None] * 5
    low, high = value["ci95"] or (None, None)
    return [value["mean"], value["standard_error"], low, high, value["n"]]


def _flat(value: Any) -> Any:
    """A value that fits a cell."""
    is_nested = isinstance(value, Mapping | list | tuple)
    return json.dumps(value, ensure_ascii=False) if is_nested else value


def _end_sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _latex_column(column: TextColumn) -> str:
    if column.is_long:
        return r"p{0.4\linewidth}"
    return "l" if column.is_text else "r"


def _latex_groups(columns: Sequence[TextColumn]) -> list[str]:
    """Headings above several columns, each with a rule; none without groups."""
    if not any(column.group for column in columns):
        return []
    cells, rules, start = [], [], 1
    for group, members in groupby(columns, key=lambda column: column.group):
        count = len(list(members))
        if group:
            cells.append(rf"\multicolumn{{{count}}}{{c}}{{{escape_latex(group)}}}")
            rules.append(rf"\cmidrule(lr){{{start}-{start + count - 1}}}")
        else:
            cells += [""] * count
        start += count
    return [rf"    {' & '.join(cells)} \\", f"    {' '.join(rules)}"]


def _latex_row(cells: Iterable[str]) -> str:
    return rf"    {' & '.join(map(escape_latex, cells))} \\"


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
