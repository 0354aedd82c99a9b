"""What the plots of every sweep show: a quantity of the answer against the swept fields.

Imports neither torch nor matplotlib.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.answers import AnswerColumn, explain_unknown_quantity, list_columns
from engine.errors import InvalidSpec
from engine.kind import PlotInfo, PlotInput
from engine.labels import SweptField, label_fields, label_points, list_swept_fields

LEAST_FILLED = 0.5
"""Share of the cells of a map that have a point, at least."""
MIN_FIELDS = 3
"""Of parallel coordinates"""
MAX_QUANTITIES = 64
"""Names of quantities that a reader can choose from."""


Answer = Callable[[Mapping[str, Any]], Sequence[AnswerColumn]]
"""As `Kind.read_answer`"""


@dataclass(frozen=True, slots=True)
class SweptPoint:
    """One point that has a result, and the quantity there."""

    index: int
    label: str
    result: Mapping[str, Any]
    column: AnswerColumn

    def to_json(self) -> dict[str, Any]:
        assert self.column.statistic is not None
        return {
            "index": self.index,
            "label": self.label,
            "values": dict(self.result["point"]),
            "outcome": self.result["outcome"],
            **self.column.statistic.model_dump(mode="json"),
        }


def list_quantities(answers: Sequence[Sequence[AnswerColumn]]) -> list[AnswerColumn]:
    """The columns in which some point has a value, the kind's headline first; MAX_QUANTITIES."""
    known = {one.name for answer in answers for one in answer if one.statistic is not None}
    return [one for one in list_columns(answers) if one.name in known][:MAX_QUANTITIES]


def find_quantity(columns: Sequence[AnswerColumn], name: str | None) -> AnswerColumn | None:
    """The column of that name, by default the first one; None where there is no column.

    Raises InvalidSpec, at the field `quantity` of the query, where it is not among them.
    """
    if name is None or not columns:
        return next(iter(columns), None)
    for column in columns:
        if column.name == name:
            return column
    detail = explain_unknown_quantity(name, [column.name for column in columns])
    raise InvalidSpec.single("#/query/quantity", "unknown-quantity", detail)


def place_results(
    values: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]
) -> list[int]:
    """The index of the point of each result; both are in the order of the sweep."""
    texts = [json.dumps(one, sort_keys=True, default=str) for one in values]
    places, start = [], 0
    for result in results:
        text = json.dumps(result["point"], sort_keys=True, default=str)
        start = texts.index(text, start)
        places.append(start)
        start += 1
    return places


def sweep_numbers(
    name: str, source: PlotInput, answer: Answer, quantity: str | None = None
) -> dict[str, Any]:
    """`{"title", "quantity", "fields", "points"}`, and what the plot's axes are.

    `quantity` holds name, title, unit and which value is better; null without a result. A point
    holds `index`, `label`, `values`, `outcome`, mean, standard error, interval and n in stored
    units, and its texts by field. `x` and `line` of `sweep_quantity`, `x` and `y` of `sweep_map`
    are the paths of fields. Raises InvalidSpec for an unknown quantity.
    """
    column, points = read_quantity(source, answer, quantity)
    fields = list_swept_fields(source.values)
    numbers: dict[str, Any] = {
        "title": source.title,
        "quantity": None if column is None else _describe(column),
        "fields": [
            {"path": one.path, "name": one.name, "is_number": is_numeric(one, source.values)}
            for one in fields
        ],
        "num_points": len(source.values),
        **_choose_axes(name, fields, source.values),
    }
    lines = label_fields(source.values, numbers.get("lines_by", ()))
    return numbers | {
        "points": [
            {
                **point.to_json(),
                "line": lines[point.index],
                "texts": {one.path: one.texts[point.index] for one in fields},
            }
            for point in points
        ]
    }


def read_quantity(
    source: PlotInput, answer: Answer, quantity: str | None
) -> tuple[AnswerColumn | None, list[SweptPoint]]:
    """The column of the quantity, and the points that have a value in it."""
    answers = [answer(result) for result in source.point_results]
    column = find_quantity(list_quantities(answers), quantity)
    if column is None:
        return None, []
    labels = label_points(source.values)
    places = place_results(source.values, source.point_results)
    points = [
        SweptPoint(place, labels[place], result, one)
        for place, result, answer in zip(places, source.point_results, answers, strict=True)
        for one in answer
        if one.name == column.name and one.statistic is not None
    ]
    return column, points


def _describe(column: AnswerColumn) -> dict[str, Any]:
    return {
        "name": column.name,
        "title": column.title,
        "unit": column.unit,
        "better": column.better,
    }


def is_numeric(field: SweptField, values: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every point has a number in the field."""
    found = [one.get(field.path) for one in values]
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in found)


def _choose_axes(
    name: str, fields: Sequence[SweptField], values: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The field along the axis has the most values, a number where there is one.

    A field alone that tells all points apart needs no lines by the other ones.
    """
    by_size = sorted(fields, key=lambda one: -len(set(one.texts)))
    if name == "sweep_map":
        axes = [one.path for one in by_size[:2]]
        return dict(zip(("x", "y"), axes, strict=False))
    if name != "sweep_quantity" or not fields:
        return {}
    numeric = [one for one in by_size if is_numeric(one, values) and len(set(one.texts)) > 2]
    along = (numeric or by_size)[0]
    others = [] if len(set(along.texts)) == len(values) else fields
    return {"x": along.path, "lines_by": [one.path for one in others if one != along]}


def _needs_sweep(source: PlotInput) -> str | None:
    if len(source.values) > 1:
        return None
    return "the experiment has one point; it needs a field with several values in `sweep`"


def _needs_grid(source: PlotInput) -> str | None:
    fields = list_swept_fields(source.values) if len(source.values) > 1 else []
    if len(fields) != 2:
        return f"it needs two swept fields, and the experiment has {len(fields)}"
    cells = len(set(fields[0].texts)) * len(set(fields[1].texts))
    if len(source.values) < LEAST_FILLED * cells or min(len(set(one.texts)) for one in fields) < 2:
        return (
            f"the values of {fields[0].name} and {fields[1].name} make {cells:,} cells, and only "
            f"{len(source.values):,} have a point"
        )
    return None


def _needs_fields(source: PlotInput) -> str | None:
    count = len(list_swept_fields(source.values)) if len(source.values) > 1 else 0
    if count >= MIN_FIELDS:
        return None
    return f"it needs {MIN_FIELDS} or more swept fields, and the experiment has {count}"


SWEEP_PLOTS = (
    PlotInfo(
        "sweep_quantity",
        "Answer over the sweep",
        "A number of the answer against a swept field, mean and 95 % interval over seeds; other "
        "fields as lines. Points of several lines stand a little beside their value, so that their "
        "intervals do not overlap.",
        find_obstacle=_needs_sweep,
        draws_all=True,
        is_of_sweep=True,
    ),
    PlotInfo(
        "sweep_map",
        "Answer over two fields",
        "Two swept fields as columns and rows; the colour is the mean of a number of the answer.",
        find_obstacle=_needs_grid,
        draws_all=True,
        is_of_sweep=True,
    ),
    PlotInfo(
        "sweep_parallel",
        "Answer over many fields",
        "Parallel coordinates: a row for each swept field and a line for each point, whose colour "
        "is a number of the answer.",
        find_obstacle=_needs_fields,
        draws_all=True,
        is_of_sweep=True,
    ),
)
SWEEP_NAMES = frozenset(one.name for one in SWEEP_PLOTS)
