"""A comparison of experiments as table rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.web.formatting import format_value
from engine.labels import label_points
from schemas.comparison import ComparedStatistic, ExperimentComparison

ABSENT = "–"


@dataclass(frozen=True, slots=True)
class SpecRow:
    """A submitted field that is not equal in all experiments, and its value in each."""

    path: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class MetricCell:
    """One experiment's statistic at a point, and its difference to the first experiment's."""

    value: str
    difference: str
    excludes_zero: bool
    """Whether the 95 % interval of the difference excludes zero"""


@dataclass(frozen=True, slots=True)
class MetricRow:
    point: str
    cells: Sequence[MetricCell]


def spec_rows(comparison: ExperimentComparison) -> list[SpecRow]:
    """The submitted fields that differ, seeds and sweep included."""
    ids = [one.id for one in comparison.experiments]
    return [
        SpecRow(
            row.path,
            [
                _format_field(row.path, row.values[id_]) if id_ in row.values else ABSENT
                for id_ in ids
            ],
        )
        for row in comparison.spec
    ]


def metric_rows(comparison: ExperimentComparison, quantity: str) -> list[MetricRow]:
    """A row for each point of any of the experiments."""
    ids = [one.id for one in comparison.experiments]
    points = next((one.points for one in comparison.results if one.quantity == quantity), [])
    labels = label_points([row.point for row in points])
    return [
        MetricRow(
            label or "the only point",
            [_statistic_cell(row.values.get(id_)) for id_ in ids],
        )
        for label, row in zip(labels, points, strict=True)
    ]


def _format_field(path: str, value: Any) -> str:
    if isinstance(value, list):
        separator = "; " if path.startswith("sweep.") else ", "
        return separator.join(map(format_value, value))
    return format_value(value)


def _statistic_cell(found: ComparedStatistic | None) -> MetricCell:
    if found is None:
        return MetricCell(ABSENT, "", False)
    interval = _format_interval(found.ci95) or (" no spread" if found.n > 1 else "")
    value = f"{_format(found.mean)}{interval} n={found.n}"
    difference = found.difference
    if difference is None:
        return MetricCell(value, "", False)
    ci95 = difference.ci95
    text = f"{_format(difference.mean, '+')}{_format_interval(ci95, '+')}"
    return MetricCell(value, text, ci95 is not None and (ci95[0] > 0 or ci95[1] < 0))


def _format_interval(interval: tuple[float, float] | None, sign: str = "") -> str:
    if interval is None:
        return ""
    return f" [{_format(interval[0], sign)}, {_format(interval[1], sign)}]"


def _format(number: float, sign: str = "") -> str:
    return f"{number:{sign}.4g}"
