"""Values, points and statistics as text, formatted as the service's web pages format them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MAX_DECIMALS = 6
"""A number that needs more decimals is written in powers of ten."""
ROUNDING = 1e-12
"""An error below this share of the mean is one of rounding: all values are equal."""
MAX_DIGITS = 6
"""A number with more digits before the point is written in powers of ten."""

MOMENT = 5.0
"""A shorter wait, in seconds, is none that anybody plans with."""


def format_point(values: Mapping[str, Any]) -> str:
    """The swept values of a point: `width 100, policy full`; empty without a sweep."""
    return ", ".join(
        f"{path.rsplit('.', 1)[-1]} {format_value(value)}" for path, value in values.items()
    )


def format_value(value: Any) -> str:
    """A value of a spec; an object within it by its name and fields."""
    if isinstance(value, Mapping):
        rest = ", ".join(
            f"{key} {format_value(inner)}" for key, inner in value.items() if key != "name"
        )
        return f"{value.get('name', '')} ({rest})" if rest else str(value.get("name", ""))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(format_value, value))}]"
    return "" if value is None else str(value)


def format_statistic(mean: float, standard_error: float | None) -> str:
    """`0.9123 ± 0.0042`: the error with two digits, the mean with as many decimals.

    Without an error, the mean alone.
    """
    if standard_error is None:
        return f"{mean:.4g}"
    if standard_error <= ROUNDING * abs(mean):
        return f"{mean:.4g} ± 0"
    decimals = max(0, 1 - math.floor(math.log10(standard_error)))
    if decimals > MAX_DECIMALS or max(abs(mean), standard_error) >= 10**MAX_DIGITS:
        return f"{mean:.4g} ± {standard_error:.1e}"
    return f"{mean:.{decimals}f} ± {standard_error:.{decimals}f}"


def format_range(low: float, high: float) -> str:
    """A rough time, each end in one unit: `in 2 to 9 min`, `in 40 s to 3 min`, `in a moment`."""
    if high < MOMENT:
        return "in a moment"
    (first, unit), (last, last_unit) = _round_to_unit(low), _round_to_unit(high)
    if (first, unit) == (last, last_unit):
        return f"in about {first} {unit}"
    return (
        f"in {first} to {last} {unit}"
        if unit == last_unit
        else (f"in {first} {unit} to {last} {last_unit}")
    )


def _round_to_unit(seconds: float) -> tuple[int, str]:
    """A number and its unit: seconds below 2 minutes, minutes below 2 hours, and so on."""
    for size, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if seconds < 120 * size:
            return round(seconds / size), unit
    return round(seconds / 86_400), "days"


def format_duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h`, `2 h 5 min`, `154 days`, `12 years`."""
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if 0 < seconds < 0.05:
        return "under 0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    if minutes < 48 * 60:
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days = minutes / (24 * 60)
    return f"{days:.0f} days" if days < 730 else f"{days / 365.25:,.0f} years"
