"""A comparison of experiments as table rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.experiments.difference_tables import (
    difference_text,
    has_no_spread,
    list_fields,
    name_points,
    value_text,
)
from api.experiments.side_by_side import LETTERS
from engine.statistic_text import name_with_unit, scale_of
from schemas.comparison import ComparedQuantity, ComparedStatistic, ExperimentComparison


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
    return [SpecRow(row.path, list_fields(row, ids)) for row in comparison.spec]


def metric_rows(comparison: ExperimentComparison, quantity: str) -> list[MetricRow]:
    """A row for each point of any of the experiments."""
    ids = [one.id for one in comparison.experiments]
    compared = next(one for one in comparison.results if one.quantity == quantity)
    scale = scale_of(compared.unit)
    return [
        MetricRow(name, [_metric_cell(row.values.get(id_), scale) for id_ in ids])
        for name, row in zip(name_points(compared), compared.points, strict=True)
    ]


def sum_up(comparison: ExperimentComparison, quantity: str) -> list[str]:
    """For each experiment but the first, one sentence: how it differs from the first.

    A difference counts as one where its 95 % interval excludes zero. Experiments without a common
    point have no sentence.
    """
    compared = next(one for one in comparison.results if one.quantity == quantity)
    name = name_with_unit(compared.title[0].upper() + compared.title[1:], compared.unit)
    scale = scale_of(compared.unit)
    pairs = zip(LETTERS[1:], comparison.experiments[1:], strict=False)
    found = (_sum_up_one(compared, one.id, name, letter, scale) for letter, one in pairs)
    return [sentence for sentence in found if sentence]


def _sum_up_one(compared: ComparedQuantity, id_: str, name: str, letter: str, scale: float) -> str:
    found = [row.values.get(id_) for row in compared.points]
    judged = [
        (one.difference.mean, one.difference.ci95, has_no_spread(one))
        for one in found
        if one is not None and one.difference is not None
    ]
    if not judged:
        return ""
    if len(judged) == 1:
        ((mean, ci95, is_constant),) = judged
        if ci95 is None:
            why = (
                "no interval, as the values of each have no spread"
                if is_constant
                else "an interval needs two seeds of each"
            )
            return f"{name}: {letter} less {LETTERS[0]} is {scale * mean:+.3g}; {why}."
        size = f"{scale * abs(mean):.3g}"
        low, high = (scale * end for end in ci95)
        if not _excludes_zero(ci95):
            return (
                f"{name}: {letter} and {LETTERS[0]} are not told apart (difference "
                f"{scale * mean:+.3g}, 95 % interval {low:+.3g} to {high:+.3g})."
            )
        side = "above" if mean > 0 else "below"
        ends = sorted((abs(low), abs(high)))
        return (
            f"{name}: {letter} is {side} {LETTERS[0]} by {size} (95 % interval {ends[0]:.3g} to "
            f"{ends[1]:.3g})."
        )
    above = sum(_excludes_zero(ci95) and mean > 0 for mean, ci95, _ in judged)
    below = sum(_excludes_zero(ci95) and mean < 0 for mean, ci95, _ in judged)
    return (
        f"{name}: of {len(judged)} common points, {letter} is above {LETTERS[0]} at {above} and "
        f"below at {below}; at {len(judged) - above - below} they are not told apart."
    )


def _excludes_zero(ci95: tuple[float, float] | None) -> bool:
    return ci95 is not None and (ci95[0] > 0 or ci95[1] < 0)


def name_quantities(comparison: ExperimentComparison) -> dict[str, str]:
    """The title of each quantity with its unit, the headline first."""
    names = {one.quantity: name_with_unit(one.title, one.unit) for one in comparison.results}
    return dict(sorted(names.items(), key=lambda item: item[0] != comparison.headline))


def _metric_cell(found: ComparedStatistic | None, scale: float) -> MetricCell:
    ci95 = found.difference.ci95 if found is not None and found.difference is not None else None
    return MetricCell(value_text(found, scale), difference_text(found, scale), _excludes_zero(ci95))
