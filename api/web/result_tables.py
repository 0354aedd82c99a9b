"""Results and runs as table rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.web.formatting import format_point, format_seconds
from engine.answer_table import AnswerTable
from engine.answers import Unit
from engine.findings import describe_findings
from engine.labels import label_points
from engine.result import Statistic
from engine.statistic_text import format_cell, format_heading
from schemas.resources import Experiment, Run

MAX_COLUMNS = 12
"""Most columns of numbers on a page; files hold all of them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table that can be sorted."""

    text: str
    value: str
    """What it is sorted by: the number as it is stored, or the text"""


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A point, or the whole experiment where nothing is swept."""

    index: int
    name: str
    """As in the legends of plots"""
    axes: Sequence[Cell]
    """Its swept values"""
    numbers: Sequence[Cell]
    outcome: str


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A row for each point."""

    axes: Sequence[str]
    """Names of the swept fields, as in the legends of plots"""
    columns: Sequence[tuple[str, str, str]]
    """(name, heading with its unit, which value is better or empty)"""
    rows: Sequence[ResultRow]
    shows_outcome: bool
    num_left_out: int
    """Columns that only the files hold"""
    findings: Sequence[str]
    """What was found, in sentences"""
    notes: Sequence[str]
    """What ± is, how many seeds there are, how an epoch was chosen"""
    is_ranked: bool
    """Whether the best row is the first"""


def result_table(table: AnswerTable, values: Sequence[Mapping[str, Any]]) -> ResultTable:
    """Findings, and the first columns of the table with what they are sorted by.

    values: the swept fields and values of every point.
    """
    places = {repr(one): index for index, one in enumerate(values)}
    names = label_points(values)
    columns = table.columns[:MAX_COLUMNS]
    shows_seeds = not table.has_equal_seeds()
    return ResultTable(
        table.axes,
        [
            *((one.name, format_heading(one), one.better or "") for one in columns),
            *([("seeds", "n", "")] if shows_seeds else []),
        ],
        [
            ResultRow(
                places[repr(row.values)],
                names[places[repr(row.values)]],
                [Cell(text, text.replace(",", "")) for text in row.axes],
                [
                    *(_number_cell(row.statistics.get(one.name), one.unit) for one in columns),
                    *([Cell(str(row.num_seeds), str(row.num_seeds))] if shows_seeds else []),
                ],
                row.outcome,
            )
            for row in table.rows
        ],
        not table.is_trained(),
        len(table.columns) - len(columns),
        describe_findings(table),
        table.describe(),
        table.is_ranked,
    )


def _number_cell(statistic: Statistic | None, unit: Unit) -> Cell:
    value = "" if statistic is None else repr(statistic.mean)
    return Cell(format_cell(statistic, unit), value)


def run_row(run: Run, point: str | None = None) -> dict[str, Any]:
    """The cells of a run's row. point: its name among the points of the experiment."""
    return {
        "id": run.id,
        "point": point or format_point(run.point.values) or "—",
        "seeds": ", ".join(map(str, run.seeds)),
        "status": run.status,
        "percent": f"{run.progress.fraction:.0%}",
        "device": run.device or "",
        "seconds": format_seconds(run.elapsed_seconds),
        "attempts": run.attempts,
        "detail": run.detail or "",
    }


def format_elapsed(experiment: Experiment) -> str:
    """The time from its first run's start to its end; empty until then."""
    if experiment.started_at is None or experiment.finished_at is None:
        return ""
    return format_seconds((experiment.finished_at - experiment.started_at).total_seconds())
