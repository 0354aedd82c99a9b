"""Formats a comparison of experiments for display."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.web.wording import is_statistic, show_point, show_value
from engine.analysis.stats import difference_interval
from engine.result import Statistic
from schemas.comparison import ComparedStatistic, ExperimentComparison
from schemas.resources import Experiment

ABSENT = "–"
FIRST_CHOICE = "test_accuracy"


@dataclass(frozen=True, slots=True)
class SpecRow:
    """A field that is not equal in all experiments, and its value in each as text."""

    path: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class MetricCell:
    """One experiment's statistic at a point, and its difference to the first experiment's."""

    value: str
    difference: str
    is_apart: bool
    """Whether the difference's interval leaves out zero."""


@dataclass(frozen=True, slots=True)
class MetricRow:
    point: str
    cells: Sequence[MetricCell]


def spec_rows(comparison: ExperimentComparison) -> list[SpecRow]:
    """The submitted fields that differ, seeds and sweep among them."""
    ids = [one.id for one in comparison.experiments]
    return [
        SpecRow(
            row.path,
            [
                _show_field(row.path, row.values[id_]) if id_ in row.values else ABSENT
                for id_ in ids
            ],
        )
        for row in comparison.spec
    ]


def metric_rows(comparison: ExperimentComparison, quantity: str) -> list[MetricRow]:
    """A row for each point that some experiment has."""
    ids = [one.id for one in comparison.experiments]
    points = next((one.points for one in comparison.results if one.quantity == quantity), [])
    return [
        MetricRow(
            show_point(row.point) or "the only point",
            [_statistic_cell(row.values.get(id_)) for id_ in ids],
        )
        for row in points
    ]


def _show_field(path: str, value: Any) -> str:
    if isinstance(value, list):
        separator = "; " if path.startswith("sweep.") else ", "
        return separator.join(map(show_value, value))
    return show_value(value)


def _statistic_cell(found: ComparedStatistic | None) -> MetricCell:
    if found is None:
        return MetricCell(ABSENT, "", False)
    value = f"{_show(found.mean)}{_show_interval(found.ci95)} n={found.n}"
    difference = found.difference
    if difference is None:
        return MetricCell(value, "", False)
    ci95 = difference.ci95
    text = f"{_show(difference.mean, '+')}{_show_interval(ci95, '+')}"
    return MetricCell(value, text, ci95 is not None and (ci95[0] > 0 or ci95[1] < 0))


def _show_interval(interval: tuple[float, float] | None, sign: str = "") -> str:
    if interval is None:
        return ""
    return f" [{_show(interval[0], sign)}, {_show(interval[1], sign)}]"


def diff_specs(experiments: Sequence[Experiment]) -> list[SpecRow]:
    """The fields of what was asked, seeds and sweep among them, that are not the same in all."""
    asked = [dict(_flatten(_asked_of(one))) for one in experiments]
    paths = dict.fromkeys(path for fields in asked for path in fields)
    rows = [SpecRow(path, [fields.get(path, ABSENT) for fields in asked]) for path in paths]
    return [row for row in rows if len(set(row.values)) > 1]


def quantities_of(results: Sequence[Mapping[str, Any] | None]) -> list[str]:
    """The statistics that some result holds, test accuracy first."""
    names = dict.fromkeys(
        name
        for result in results
        for point in (result or {"points": ()})["points"]
        for name, value in point.items()
        if is_statistic(value)
    )
    return sorted(names, key=lambda name: name != FIRST_CHOICE)


def diff_results(results: Sequence[Mapping[str, Any] | None], quantity: str) -> list[MetricRow]:
    """A row for each point that some experiment has, in the order of their appearance; points meet by their swept values."""
    by_point: list[dict[str, Statistic]] = [
        {
            show_point(point["point"]): Statistic.model_validate(point[quantity])
            for point in (result or {"points": ()})["points"]
            if is_statistic(point.get(quantity))
        }
        for result in results
    ]
    names = dict.fromkeys(name for statistics in by_point for name in statistics)
    return [
        MetricRow(
            name or "the only point",
            [_cell(statistics.get(name), by_point[0].get(name)) for statistics in by_point],
        )
        for name in names
    ]


def _asked_of(experiment: Experiment) -> dict[str, Any]:
    return {
        "spec": experiment.spec,
        "sweep": {
            path: "; ".join(map(show_value, values)) for path, values in experiment.sweep.items()
        },
        "seeds": ", ".join(map(str, experiment.seeds)),
        "execution": experiment.execution.model_dump(mode="json"),
    }


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flatten(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        yield path, ", ".join(map(show_value, value))
    else:
        yield path, show_value(value)


def _cell(found: Statistic | None, first: Statistic | None) -> MetricCell:
    if found is None:
        return MetricCell(ABSENT, "", False)
    interval = "" if found.ci95 is None else f" [{_show(found.ci95[0])}, {_show(found.ci95[1])}]"
    value = f"{_show(found.mean)}{interval} n={found.n}"
    if first is None:
        return MetricCell(value, "", False)
    apart = difference_interval(found, first)
    shown = "" if apart is None else f" [{_show(apart[0], '+')}, {_show(apart[1], '+')}]"
    difference = f"{_show(found.mean - first.mean, '+')}{shown}"
    return MetricCell(value, difference, apart is not None and (apart[0] > 0 or apart[1] < 0))


def _show(number: float, sign: str = "") -> str:
    return f"{number:{sign}.4g}"
