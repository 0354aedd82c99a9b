"""Values, points, statistics, durations and sizes as text, as the pages show them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.experiment_titles import make_title
from engine.labels import format_number
from schemas.resources import Experiment

MAX_PLACES = 6
"""Most decimals of a number; one that needs more is written in scientific notation."""
MAX_DIGITS = 6
"""Most digits before the decimal point, likewise."""
SIZE_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def format_point(values: Mapping[str, Any]) -> str:
    """A point's name: `width 100, policy full`; empty for an experiment without a sweep."""
    return ", ".join(
        f"{path.rsplit('.', 1)[-1]} {format_value(value)}" for path, value in values.items()
    )


def title_of(experiment: Experiment) -> str:
    """Its name; without one, what differs from the defaults: `train, width 10 to 100`."""
    return experiment.name or make_title(experiment.kind, experiment.spec, experiment.sweep)


def format_value(value: Any) -> str:
    """A value of a spec; a nested object as its name and its other fields in parentheses."""
    if isinstance(value, Mapping):
        rest = ", ".join(
            f"{key} {format_value(inner)}" for key, inner in value.items() if key != "name"
        )
        return f"{value.get('name', '')} ({rest})" if rest else str(value.get("name", ""))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return format_number(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(format_value, value))}]"
    return "" if value is None else str(value)


def format_statistic(mean: float, standard_error: float | None) -> str:
    """`0.9123 ± 0.0042`: two digits of the error and as many decimals of the mean.

    The mean alone if there is no standard error.
    """
    if standard_error is None:
        return f"{mean:.4g}"
    if standard_error == 0:
        return f"{mean:.4g} ± 0"
    places = max(0, 1 - math.floor(math.log10(standard_error)))
    if places > MAX_PLACES or max(abs(mean), standard_error) >= 10**MAX_DIGITS:
        return f"{mean:.4g} ± {standard_error:.1e}"
    return f"{mean:.{places}f} ± {standard_error:.{places}f}"


def format_seconds(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `154 days`, `12 years`; empty for None."""
    if seconds is None:
        return ""
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


def format_bytes(count: float) -> str:
    """`12.3 MB`, in powers of 1,000."""
    for unit in SIZE_UNITS:
        if count < 1000 or unit == SIZE_UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError("the last unit has no limit")
