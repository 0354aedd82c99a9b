"""Answers that can do something: metrics as columns, arrays or a frame, results as the kind's own results."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from engine.experiments.registry import get_kind
from engine.result import PointResult


class Metrics(dict[str, Any]):
    """The answer of `/metrics`, and its items as a table: `point`, `seed`, `name`, `step`, `value`, or aggregated
    `point`, `name`, `step`, `mean`, `standard_error`, `ci95_low`, `ci95_high`, `n`. Null stands for not finite."""

    def to_columns(self) -> dict[str, list[Any]]:
        """Plain lists by column, all of one length."""
        rows = [_flatten(item) for item in self["items"]]
        return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}

    def to_numpy(self) -> dict[str, Any]:
        """numpy arrays by column, numbers as floats with NaN for null where some are null."""
        numpy = _import("numpy")
        return {
            name: numpy.array([_number(value) for value in values])
            for name, values in self.to_columns().items()
        }

    def to_pandas(self) -> Any:
        """A pandas DataFrame, a row an item."""
        return _import("pandas").DataFrame(self.to_columns())


class Result(dict[str, Any]):
    """The answer of `/result`."""

    def typed_points(self) -> list[PointResult]:
        """Its points as the kind's own class, e.g. `engine.experiments.lws.result.LwsPointResult`."""
        seed_result = get_kind(self["kind"]).point_result
        return [seed_result.model_validate(point) for point in self["points"]]


def _flatten(item: Mapping[str, Any]) -> dict[str, Any]:
    if "statistic" not in item:
        return dict(item)
    statistic = item["statistic"]
    low, high = statistic["ci95"] or (None, None)
    return {
        **{name: item[name] for name in ("point", "name", "step")},
        **{name: statistic[name] for name in ("mean", "standard_error")},
        "ci95_low": low,
        "ci95_high": high,
        "n": statistic["n"],
    }


def _number(value: Any) -> Any:
    return float("nan") if value is None else value


def _import(name: str) -> Any:
    """Asked for where it is used, so that the client works without it."""
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(f"{name} is not installed; `to_columns()` gives plain lists") from None
