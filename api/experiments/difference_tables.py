"""A comparison of experiments as tables: the fields and the results in which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.experiments.side_by_side import LETTERS
from engine.labels import format_value, label_points
from engine.statistic_text import name_with_unit, scale_of
from engine.tables import TextColumn, TextTable
from schemas.comparison import (
    ComparedQuantity,
    ComparedStatistic,
    ExperimentComparison,
    SpecDifference,
)

ABSENT = "–"
ONLY_POINT = "the only point"
METHOD = (
    "Mean, its 95 % interval over the seeds, and the number of seeds n; difference to A with its "
    "95 % interval (Welch's t, seeds as independent samples)"
)


def tabulate_differences(
    comparison: ExperimentComparison, quantity: str | None, titles: Sequence[str]
) -> TextTable:
    """One quantity: a row for each point, each experiment, and its difference to the first.

    quantity: None, or another that no result holds, gives the first. titles: of the experiments.
    """
    if not comparison.results:
        return TextTable("", [], [], [*_name_experiments(titles), "No result yet"])
    by_name = {one.quantity: one for one in comparison.results}
    compared = by_name.get(quantity or "", comparison.results[0])
    ids = [one.id for one in comparison.experiments]
    scale = scale_of(compared.unit)
    columns = [TextColumn("", "point", is_text=True), TextColumn("", LETTERS[0])]
    for letter in LETTERS[1 : len(ids)]:
        columns += [TextColumn("", letter), TextColumn("", f"{letter} − {LETTERS[0]}")]
    rows = []
    for name, row in zip(name_points(compared), compared.points, strict=True):
        cells = [name]
        for place, id_ in enumerate(ids):
            found = row.values.get(id_)
            cells.append(value_text(found, scale))
            if place:
                cells.append(difference_text(found, scale) or ABSENT)
        rows.append(cells)
    return TextTable(
        name_with_unit(compared.title, compared.unit),
        columns,
        rows,
        [*_name_experiments(titles), METHOD],
    )


def difference_numbers(comparison: ExperimentComparison, title: str) -> dict[str, Any]:
    """`{"title", "columns", "points"}`: a row for each quantity, point and experiment."""
    names = {one.id: one.name for one in comparison.experiments}
    paths = dict.fromkeys(
        path for one in comparison.results for row in one.points for path in row.point
    )
    points = []
    for one in comparison.results:
        for row in one.points:
            for id_, found in row.values.items():
                difference = found.difference
                low, high = (difference and difference.ci95) or (None, None)
                points.append(
                    {
                        "quantity": one.quantity,
                        "experiment": id_,
                        "name": names[id_],
                        **{path: row.point.get(path) for path in paths},
                        "value": found.model_dump(mode="json", exclude={"difference"}),
                        "difference": difference and difference.mean,
                        "difference_ci95_low": low,
                        "difference_ci95_high": high,
                    }
                )
    ends = ("value", "difference", "difference_ci95_low", "difference_ci95_high")
    columns = ["quantity", "experiment", "name", *paths, *ends]
    return {"title": title, "columns": columns, "points": points}


def tabulate_specs(comparison: ExperimentComparison, titles: Sequence[str]) -> TextTable:
    """A row for each submitted field that differs."""
    ids = [one.id for one in comparison.experiments]
    return TextTable(
        "Differences in the specification",
        [TextColumn("", name, is_text=True) for name in ("field", *LETTERS[: len(ids)])],
        [[row.path, *list_fields(row, ids)] for row in comparison.spec],
        _name_experiments(titles),
    )


def spec_numbers(comparison: ExperimentComparison, title: str) -> dict[str, Any]:
    """`{"title", "columns", "points"}`: a column for each experiment's id."""
    ids = [one.id for one in comparison.experiments]
    points = [
        {"field": row.path, **{id_: row.values.get(id_) for id_ in ids}} for row in comparison.spec
    ]
    return {"title": title, "columns": ["field", *ids], "points": points}


def name_points(compared: ComparedQuantity) -> list[str]:
    """A name for each point that some experiment has."""
    return [name or ONLY_POINT for name in label_points([row.point for row in compared.points])]


def list_fields(row: SpecDifference, ids: Sequence[str]) -> list[str]:
    """The field's value in each experiment as text."""
    return [_format_field(row, id_) if id_ in row.values else ABSENT for id_ in ids]


def value_text(found: ComparedStatistic | None, scale: float) -> str:
    """`91.2 [90.1, 92.3] n=3`. scale: what stored values are multiplied with."""
    if found is None:
        return ABSENT
    interval = _interval_text(found.ci95, scale) or (" no spread" if found.n > 1 else "")
    return f"{scale * found.mean:.4g}{interval} n={found.n}"


def difference_text(found: ComparedStatistic | None, scale: float) -> str:
    """`+1.2 [+0.1, +2.3]`, or `+1.2 (no spread)`; empty where there is no difference."""
    if found is None or found.difference is None:
        return ""
    difference = found.difference
    if has_no_spread(found):
        return f"{scale * difference.mean:+.4g} (no spread)"
    return f"{scale * difference.mean:+.4g}{_interval_text(difference.ci95, scale, '+')}"


def has_no_spread(found: ComparedStatistic) -> bool:
    """Whether a difference has no interval although there are several values: all are equal."""
    difference = found.difference
    return difference is not None and difference.ci95 is None and found.n > 1 and found.ci95 is None


def _interval_text(interval: tuple[float, float] | None, scale: float, sign: str = "") -> str:
    if interval is None:
        return ""
    return f" [{scale * interval[0]:{sign}.4g}, {scale * interval[1]:{sign}.4g}]"


def _format_field(row: SpecDifference, id_: str) -> str:
    value = row.values[id_]
    if isinstance(value, list):
        return ("; " if row.path.startswith("sweep.") else ", ").join(map(format_value, value))
    return format_value(value)


def _name_experiments(titles: Sequence[str]) -> list[str]:
    return [f"{letter}: {title}" for letter, title in zip(LETTERS, titles, strict=False)]
