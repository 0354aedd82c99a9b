"""Values, points and statistics in words, the same on the pages and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.result import Statistic

STATISTIC_FIELDS = frozenset(Statistic.model_fields)


def is_statistic(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == STATISTIC_FIELDS


def show_point(values: Mapping[str, Any]) -> str:
    """A point's name: `width 100, policy full`; empty for an experiment without a sweep."""
    return ", ".join(f"{path.rsplit('.', 1)[-1]} {show_value(value)}" for path, value in values.items())


def show_value(value: Any) -> str:
    """A value of a form; a form within it by its name and fields."""
    if isinstance(value, Mapping):
        rest = ", ".join(f"{key} {show_value(inner)}" for key, inner in value.items() if key != "name")
        return f"{value.get('name', '')} ({rest})" if rest else str(value.get("name", ""))
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
