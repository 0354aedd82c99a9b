"""Compares experiments side by side: the spec fields and the results in which they differ."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.analysis.stats import bounds_of_difference, difference_interval
from engine.answers import (
    AnswerColumn,
    explain_unknown_quantity,
    list_columns,
    list_statistics,
)
from engine.experiments.registry import kinds
from engine.kind import Kind
from engine.result import Statistic
from schemas.comparison import (
    ComparedExperiment,
    ComparedPoint,
    ComparedQuantity,
    ComparedStatistic,
    ExperimentComparison,
    SpecDifference,
    StatisticDifference,
)
from schemas.resources import Experiment
from storage.database.engine import Session
from storage.database.tables import ExperimentRow
from storage.errors import NotFound
from storage.experiments import find
from storage.experiments.resources import to_resources

LETTERS = "ABCDEFGH"
"""The names of the compared experiments in tables and legends"""
MAX_COMPARED = len(LETTERS)
FIRST_QUANTITY = "test_accuracy"


@dataclass(frozen=True, slots=True)
class _Point:
    """A point of a result."""

    values: Mapping[str, Any]
    """The swept fields and their values"""
    columns: Mapping[str, AnswerColumn]
    """Those that have a value, by name"""


def compare_experiments(
    session: Session, ids: Sequence[str], quantity: str | None = None
) -> ExperimentComparison:
    """Compare the experiments, in all quantities or in one; a repeated id counts once.

    Points are matched by their swept fields and values. A difference is to the first experiment.
    Raises NotFound for an unknown id, and for a quantity that no result holds.
    """
    rows = [find.get_experiment(session, one) for one in dict.fromkeys(ids)]
    experiments = to_resources(session, rows)
    points = {row.id: _read_points(row) for row in rows}
    columns = list_columns(
        [*point.columns.values()] for found in points.values() for point in found
    )
    named = {column.name: column for column in columns}
    quantities = sorted(named, key=lambda name: name != FIRST_QUANTITY)
    if quantity is not None and quantity not in quantities:
        raise NotFound(explain_unknown_quantity(quantity, quantities))
    return ExperimentComparison(
        experiments=[
            ComparedExperiment(id=one.id, name=one.name, kind=one.kind, status=one.status)
            for one in experiments
        ],
        spec=_compare_specs(experiments),
        quantities=quantities,
        headline=columns[0].name if columns and points[rows[0].id] else None,
        results=[
            ComparedQuantity(
                quantity=name,
                title=named[name].title,
                unit=named[name].unit,
                points=_compare_points(points, named[name]),
            )
            for name in (quantities if quantity is None else [quantity])
        ],
    )


def _compare_specs(experiments: Sequence[Experiment]) -> list[SpecDifference]:
    fields = {one.id: dict(_flatten(_submitted_fields(one))) for one in experiments}
    paths = dict.fromkeys(path for values in fields.values() for path in values)
    rows = [
        SpecDifference(
            path=path,
            values={id_: values[path] for id_, values in fields.items() if path in values},
        )
        for path in paths
    ]
    return [row for row in rows if not _is_equal_in_all(row, len(experiments))]


def _is_equal_in_all(row: SpecDifference, num_experiments: int) -> bool:
    first, *others = row.values.values()
    return len(row.values) == num_experiments and all(other == first for other in others)


def _submitted_fields(experiment: Experiment) -> dict[str, Any]:
    return {
        "spec": experiment.spec,
        "sweep": experiment.sweep,
        "seeds": experiment.seeds,
        "execution": experiment.execution.model_dump(mode="json"),
    }


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and values; a list is one value."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flatten(inner, f"{path}.{name}" if path else name)
    else:
        yield path, value


def _read_points(row: ExperimentRow) -> list[_Point]:
    """Of a finished experiment, also of a kind that is not installed any more."""
    kind = kinds().get(row.kind)
    return [
        _Point(point["point"], _read_columns(kind, point))
        for point in (row.summary or {}).get("points", ())
    ]


def _read_columns(kind: Kind | None, point: Mapping[str, Any]) -> dict[str, AnswerColumn]:
    """Also of a kind that is not installed any more."""
    columns = list_statistics(point) if kind is None else kind.read_quantities(point)
    return {column.name: column for column in columns if column.statistic is not None}


def _compare_points(
    points: Mapping[str, Sequence[_Point]], column: AnswerColumn
) -> list[ComparedPoint]:
    """One row for each point of any experiment, in the order of their first appearance."""
    swept: dict[Hashable, Mapping[str, Any]] = {}
    found: dict[Hashable, dict[str, Statistic]] = {}
    for id_, result in points.items():
        for point in result:
            own = point.columns.get(column.name)
            if own is not None and own.statistic is not None:
                key = _hashable(point.values)
                swept.setdefault(key, point.values)
                found.setdefault(key, {})[id_] = own.statistic
    first = next(iter(points), "")
    return [
        ComparedPoint(
            point=dict(swept[key]),
            values={
                id_: ComparedStatistic(
                    **dict(value),
                    difference=None
                    if id_ == first
                    else _difference(value, values.get(first), column),
                )
                for id_, value in values.items()
            },
        )
        for key, values in found.items()
    ]


def _hashable(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return frozenset((name, _hashable(inner)) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    assert isinstance(value, Hashable)
    return value


def _difference(
    value: Statistic, first: Statistic | None, column: AnswerColumn
) -> StatisticDifference | None:
    if first is None:
        return None
    bounds = bounds_of_difference(column.name, column.unit)
    return StatisticDifference(
        mean=value.mean - first.mean, ci95=difference_interval(value, first, bounds)
    )
