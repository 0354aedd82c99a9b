"""Metrics as columns, numpy arrays, or a DataFrame of pandas or polars."""

from __future__ import annotations

from importlib import import_module
from typing import Any, get_args

from richregime.resource import Resource

VALUE_COLUMNS = {"point": int, "seed": int, "name": str, "step": int, "value": float}
AGGREGATE_COLUMNS = {
    "point": int,
    "name": str,
    "step": int,
    "mean": float,
    "standard_error": float,
    "ci95_low": float,
    "ci95_high": float,
    "n": int,
}


class MetricTable(Resource):
    """Metrics, one row per item.

    The columns are `point`, `seed`, `name`, `step`, `value`. Aggregated metrics have the columns
    `point`, `name`, `step`, `mean`, `standard_error`, `ci95_low`, `ci95_high`, `n`. Null stands for
    a value that is not finite.
    """

    items: list[Any]

    @classmethod
    def _column_types(cls) -> dict[str, type]:
        """The type of each column's values; those of floats may be null."""
        (item,) = get_args(cls.model_fields["items"].annotation)
        is_aggregate = "statistic" in getattr(item, "model_fields", ())
        return AGGREGATE_COLUMNS if is_aggregate else VALUE_COLUMNS

    def to_columns(self) -> dict[str, list[Any]]:
        """Lists of equal length by column."""
        rows = [_flatten(item) for item in self.items]
        return {name: [row[name] for row in rows] for name in self._column_types()}

    def to_numpy(self) -> dict[str, Any]:
        """numpy arrays by column; null becomes NaN. Raises ImportError without numpy."""
        numpy, types = _import("numpy"), self._column_types()
        return {
            name: numpy.array(values, dtype=types[name])
            for name, values in self.to_columns().items()
        }

    def to_pandas(self) -> Any:
        """A pandas DataFrame; null becomes NaN. Raises ImportError without pandas."""
        return _import("pandas").DataFrame(self.to_columns()).astype(self._column_types())

    def to_polars(self) -> Any:
        """A polars DataFrame. Raises ImportError without polars, which the extra `polars` has."""
        return _import("polars").DataFrame(self.to_columns(), schema=self._column_types())


def _flatten(item: Any) -> dict[str, Any]:
    if not hasattr(item, "statistic"):
        return {name: getattr(item, name) for name in ("point", "seed", "name", "step", "value")}
    statistic = item.statistic
    low, high = statistic.ci95 or (None, None)
    return {
        **{name: getattr(item, name) for name in ("point", "name", "step")},
        **{name: getattr(statistic, name) for name in ("mean", "standard_error")},
        "ci95_low": low,
        "ci95_high": high,
        "n": statistic.n,
    }


def _import(name: str) -> Any:
    """Import a package that the client itself does not need."""
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(f"{name} is not installed; `to_columns()` returns lists") from None
