"""Values, points and statistics in words, the same on the pages and in the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.result import Statistic

STATISTIC_FIELDS = frozenset(Statistic.model_fields)
MOST_PLACES = 6
"""Decimals that are still read at a glance; what needs more is written in powers of ten."""
MOST_DIGITS = 6
"""Digits before the point, likewise."""


def is_statistic(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == STATISTIC_FIELDS


def show_point(values: Mapping[str, Any]) -> str:
    """A point's name: `width 100, policy full`; empty for an experiment without a sweep."""
    return ", ".join(
        f"{path.rsplit('.', 1)[-1]} {show_value(value)}" for path, value in values.items()
    )


def show_value(value: Any) -> str:
    """A value of a spec; a form within it by its name and fields."""
    if isinstance(value, Mapping):
        rest = ", ".join(
            f"{key} {show_value(inner)}" for key, inner in value.items() if key != "name"
        )
        return f"{value.get('name', '')} ({rest})" if rest else str(value.get("name", ""))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(show_value, value))}]"
    return "" if value is None else str(value)


def show_statistic(mean: float, standard_error: float | None) -> str:
    """`0.9123 ± 0.0042`: two digits of the error, and as many places of the mean; the mean alone where there is no error."""
    if standard_error is None:
        return f"{mean:.4g}"
    if standard_error == 0:
        return f"{mean:.4g} ± 0"
    places = max(0, 1 - math.floor(math.log10(standard_error)))
    if places > MOST_PLACES or max(abs(mean), standard_error) >= 10**MOST_DIGITS:
        return f"{mean:.4g} ± {standard_error:.1e}"
    return f"{mean:.{places}f} ± {standard_error:.{places}f}"
