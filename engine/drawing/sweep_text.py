"""What the plots of a sweep say, and the colours of a quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, nan
from typing import Any

from matplotlib.colors import Normalize

from engine.drawing.colors import cut_map
from engine.drawing.notes import describe_seeds
from engine.statistic_text import name_with_unit, scale_of

UNTRAINED = "white"
"""Filling of the marker of a point that did not train"""
REACH = 1.0
"""Intervals widen the axis by at most so many times the range of the means, at each end."""


def scaled(numbers: Mapping[str, Any], value: float | None) -> float:
    """The value in the unit that is shown; NaN for None."""
    return nan if value is None else scale_of(numbers["quantity"]["unit"]) * value


def limit_interval(
    numbers: Mapping[str, Any], points: Sequence[Mapping[str, Any]]
) -> tuple[tuple[float, float], bool]:
    """The ends of the quantity's axis, and whether an interval is cut off there.

    points: whose intervals are drawn; they widen the axis by at most REACH.
    """
    means = [scaled(numbers, point["mean"]) for point in numbers["points"]]
    ends = [scaled(numbers, end) for point in points for end in point["ci95"] or ()]
    reach = REACH * ((max(means) - min(means)) or 0.1 * abs(means[0]) or 1.0)
    low = max(min([*means, *ends]), min(means) - reach)
    high = min(max([*means, *ends]), max(means) + reach)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    cut = any(not low - margin <= end <= high + margin for end in ends)
    return (low - margin, high + margin), cut


def name_quantity(numbers: Mapping[str, Any]) -> str:
    """`Test accuracy (%)`."""
    quantity = numbers["quantity"]
    title = quantity["title"][0].upper() + quantity["title"][1:]
    return name_with_unit(title, quantity["unit"])


def name_field(numbers: Mapping[str, Any], path: str) -> str:
    return next(str(one["name"]) for one in numbers["fields"] if one["path"] == path)


def describe_intervals(points: Sequence[Mapping[str, Any]], spread: str = "") -> str:
    """The note on seeds. spread: what bars show, told where some point has an interval."""
    is_shown = any(point["ci95"] for point in points)
    return describe_seeds((point["n"] for point in points), spread if is_shown else "")


def describe_missing(numbers: Mapping[str, Any]) -> str:
    """A note while some points have no value; empty where all have one."""
    known, total = len(numbers["points"]), numbers["num_points"]
    return "" if known == total else f"; {known} of {total} points have a value"


def describe_untrained(points: Sequence[Mapping[str, Any]], mark: str) -> str:
    """The note on points that did not train; empty where all did. mark: how they are drawn."""
    return "" if all(map(is_trained, points)) else f"; {mark}: not trained"


def is_trained(point: Mapping[str, Any]) -> bool:
    return bool(point["outcome"] == "trained")


def color_scale(values: Sequence[float]) -> tuple[Any, Normalize]:
    """The map from dark to light, and its ends at the finite values."""
    known = [value for value in values if isfinite(value)]
    low, high = min(known), max(known)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return cut_map("viridis"), Normalize(low, high)


def best_place(numbers: Mapping[str, Any]) -> int | None:
    """The place among the points of the best one; None where no value is better than another."""
    points, better = numbers["points"], numbers["quantity"]["better"]
    if better is None or len({point["mean"] for point in points}) < 2:
        return None
    sign = 1.0 if better == "lower" else -1.0
    return min(range(len(points)), key=lambda place: (sign * points[place]["mean"], place))
