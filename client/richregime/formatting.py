"""Values, points and statistics as text, formatted as the service's web pages format them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MAX_DECIMALS = 6
"""A number that needs more decimals is written in powers of ten."""
MAX_DIGITS = 6
"""A number with more digits before the point is written in powers of ten."""


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
    if standard_error == 0:
        return f"{mean:.4g} ± 0"
    decimals = max(0, 1 - math.floor(math.log10(standard_error)))
    if decimals > MAX_DECIMALS or max(abs(mean), standard_error) >= 10**MAX_DIGITS:
        return f"{mean:.4g} ± {standard_error:.1e}"
    return f"{mean:.{decimals}f} ± {standard_error:.{decimals}f}"


def format_duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `154 days`, `12 years`."""
    if 0 < seconds < 0.05:
        return "under 0.1 s"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    days = minutes / (24 * 60)
    return f"{days:.0f} days" if days < 730 else f"{days / 365.25:,.0f} years"
