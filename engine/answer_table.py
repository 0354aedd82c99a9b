"""The answer of a kind at every point, as one table: for pages, files and exports.

Imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.answers import AnswerColumn, list_columns
from engine.labels import label_axes, label_points
from engine.result import Outcome, Statistic
from engine.statistic_text import format_cell, format_heading
from engine.tables import TextColumn, TextTable

OUTCOMES: Mapping[Outcome, str] = {
    "trained": "trained",
    "at_chance": "at chance",
    "not_finite": "not finite",
}
"""What a reader is told"""
OUTCOME_MEANINGS: Mapping[Outcome, str] = {
    "at_chance": "At chance: some seed's trained net is no better than guessing",
    "not_finite": "Not finite: some seed's train loss became NaN or infinite",
}


_MEASURED = ("seconds", "ratio")


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One point."""

    label: str
    """Its name, as in the legends of plots; empty without a sweep."""
    values: Mapping[str, Any]
    """The swept fields and their values."""
    axes: Sequence[str]
    """The values of the table's axes as text."""
    statistics: Mapping[str, Statistic | None]
    """By the name of the column."""
    num_seeds: int
    outcome: Outcome
    sentence: str = ""
    """The kind's own sentence about the point; empty for most kinds."""


@dataclass(frozen=True, slots=True)
class AnswerTable:
    """The points of an experiment with the numbers that answer its question."""

    title: str
    axes: Sequence[str]
    """Names of the swept fields that differ, as in the legends of plots."""
    columns: Sequence[AnswerColumn]
    """The kind's headline first; only their texts count, the numbers are in the rows."""
    rows: Sequence[AnswerRow]
    notes: Sequence[str] = ()
    """Remarks before those that follow from the numbers."""
    is_ranked: bool = False
    """Whether the rows are ordered by the first column, the best first."""

    def rank(self) -> AnswerTable:
        """The rows by the first column, the best first; as they are where no value is better."""
        if not self.columns or self.columns[0].better is None:
            return self
        sign = 1.0 if self.columns[0].better == "lower" else -1.0
        name = self.columns[0].name

        def order(row: AnswerRow) -> tuple[bool, float]:
            found = row.statistics.get(name)
            return found is None, 0.0 if found is None else sign * found.mean

        return replace(self, rows=sorted(self.rows, key=order), is_ranked=True)

    def describe(self) -> list[str]:
        """What ± is, how many seeds there are, how an epoch was chosen."""
        return [*self.notes, self._describe_errors(), *self._describe_counts()]

    def describe_outcomes(self) -> list[str]:
        """What the outcomes of points that did not train mean."""
        return [
            text
            for outcome, text in OUTCOME_MEANINGS.items()
            if any(row.outcome == outcome for row in self.rows)
        ]

    def has_equal_seeds(self) -> bool:
        """Whether every point has as many seeds."""
        return len({row.num_seeds for row in self.rows}) <= 1

    def is_trained(self) -> bool:
        """Whether every point is."""
        return all(row.outcome == "trained" for row in self.rows)

    def _describe_errors(self) -> str:
        counts = sorted({row.num_seeds for row in self.rows})
        if counts == [1]:
            return "One seed (n = 1), so without an error"
        told = f"n = {'–'.join(map(str, (counts[0], counts[-1])[: len(counts)]))}"
        return f"Mean ± one standard error over seeds ({told})"

    def _describe_counts(self) -> list[str]:
        """Columns whose n is not the number of seeds: times of seeds that trained together."""
        return [
            f"Of {column.title}, n = {'–'.join(map(str, sorted(counts)))}"
            + (": seeds that trained together are one measurement" * (column.unit in _MEASURED))
            for column in self.columns
            if (
                counts := {
                    found.n
                    for row in self.rows
                    if (found := row.statistics.get(column.name)) and found.n != row.num_seeds
                }
            )
        ]

    def to_text(self) -> TextTable:
        """Formatted cells, in the units that are shown."""
        shows_seeds, shows_outcome = not self.has_equal_seeds(), not self.is_trained()
        return TextTable(
            self.title,
            [
                *(TextColumn("", axis, is_text=self._is_text(axis)) for axis in self.axes),
                *(TextColumn("", format_heading(column)) for column in self.columns),
                *([TextColumn("", "n")] if shows_seeds else []),
                *([TextColumn("", "outcome", is_text=True)] if shows_outcome else []),
            ],
            [
                [
                    *row.axes,
                    *(
                        format_cell(row.statistics.get(column.name), column.unit)
                        for column in self.columns
                    ),
                    *([str(row.num_seeds)] if shows_seeds else []),
                    *([OUTCOMES[row.outcome]] if shows_outcome else []),
                ]
                for row in self.rows
            ],
            [*self.describe(), *self.describe_outcomes()],
        )

    def to_numbers(self) -> dict[str, Any]:
        """`{"title", "columns", "points", "describe", "notes"}`, as plots that are tables have it.

        A row holds the swept fields by path, the statistics by name, `seeds` and `outcome`;
        `describe` holds title, unit and which value is better, by the name of a column.
        """
        paths = list(dict.fromkeys(path for row in self.rows for path in row.values))
        names = [column.name for column in self.columns]
        return {
            "title": self.title,
            "columns": [*paths, *names, "seeds", "outcome"],
            "describe": {
                column.name: {"title": column.title, "unit": column.unit, "better": column.better}
                for column in self.columns
            },
            "points": [
                {path: row.values.get(path) for path in paths}
                | {name: _dump(row.statistics.get(name)) for name in names}
                | {"seeds": row.num_seeds, "outcome": row.outcome}
                for row in self.rows
            ],
            "notes": [*self.describe(), *self.describe_outcomes()],
        }

    def _is_text(self, axis: str) -> bool:
        place = list(self.axes).index(axis)
        return not all(_is_number(row.axes[place]) for row in self.rows)


def tabulate_answers(
    title: str,
    points: Sequence[Mapping[str, Any]],
    answers: Sequence[Sequence[AnswerColumn]],
    notes: Sequence[str] = (),
    sentences: Sequence[str] = (),
) -> AnswerTable:
    """The table of results and of the columns of each, in the same order.

    points: each a `PointResult` as JSON. Columns in which no point has a value are left out.
    sentences: the kind's own about each point; none by default.
    """
    swept = [point["point"] for point in points]
    axes = label_axes(swept)
    statistics = [{column.name: column.statistic for column in answer} for answer in answers]
    columns = [
        column
        for column in list_columns(answers)
        if any(found.get(column.name) is not None for found in statistics)
    ]
    return AnswerTable(
        title,
        list(axes),
        columns,
        [
            AnswerRow(
                label,
                values,
                [texts[place] for texts in axes.values()],
                found,
                len(point["seeds"]),
                point["outcome"],
                sentences[place] if sentences else "",
            )
            for place, (label, values, point, found) in enumerate(
                zip(label_points(swept), swept, points, statistics, strict=True)
            )
        ],
        notes,
    )


def _dump(statistic: Statistic | None) -> dict[str, Any] | None:
    return None if statistic is None else statistic.model_dump(mode="json")


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True
