"""Values, points, statistics, durations and sizes as text, as the pages show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine import durations, experiment_titles
from engine.labels import format_number
from schemas.resources import Experiment, SecondsRange

MOMENT = 5.0
"""A shorter wait, in seconds, is none that anybody plans with"""
SIZE_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def format_point(values: Mapping[str, Any]) -> str:
    """A point's name: `width 100, policy full`; empty for an experiment without a sweep."""
    return ", ".join(
        f"{path.rsplit('.', 1)[-1]} {format_value(value)}" for path, value in values.items()
    )


def title_of(experiment: Experiment) -> str:
    """Its name; without one, what differs from the defaults: `train, width 10 to 100`."""
    return experiment_titles.title_of(
        experiment.name, experiment.kind, experiment.spec, experiment.sweep
    )


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


def format_seconds(seconds: float | None) -> str:
    """A duration as people tell it; empty for None."""
    return "" if seconds is None else durations.format_seconds(seconds)


def format_range(times: SecondsRange) -> str:
    """A rough time, each end in one unit: `in 2 to 9 min`, `in 40 s to 3 min`, `in a moment`."""
    if times.high < MOMENT:
        return "in a moment"
    (first, unit), (last, last_unit) = _round_to_unit(times.low), _round_to_unit(times.high)
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


def format_bytes(count: float) -> str:
    """`12.3 MB`, in powers of 1,000."""
    for unit in SIZE_UNITS:
        if count < 1000 or unit == SIZE_UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError("the last unit has no limit")
