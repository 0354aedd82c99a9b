"""An experiment as two tables of columns: every metric value, and every statistic of the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from richregime.exporting.source import ExportSource
from richregime.types import Statistic

Columns = dict[str, list[Any]]
"""Lists of equal length by name."""
Row = Mapping[str, Any]

METRIC_COLUMNS = ("run", "point", "seed", "step", "name", "value")
RESULT_COLUMNS = (
    "point",
    "outcome",
    "quantity",
    "mean",
    "standard_error",
    "ci95_low",
    "ci95_high",
    "n",
)


def list_tables(source: ExportSource) -> Iterator[tuple[str, Columns]]:
    """The name and the columns of each table: `metrics`, and `results` if there is a result."""
    yield "metrics", metric_columns(source)
    if source.result is not None:
        yield "results", result_columns(source)


def metric_columns(source: ExportSource) -> Columns:
    """A row per value: run, index and swept values of the point, seed, step, name, value.

    The value is null where it was not finite.
    """
    points, runs = source.points(), source.runs_by_cell()
    rows: list[Row] = [
        {
            **item.model_dump(),
            "run": runs[item.point, item.seed].id,
            **_axes(points[item.point], METRIC_COLUMNS),
        }
        for item in source.metrics.items
    ]
    axes = _names(_axes(point, METRIC_COLUMNS) for point in points.values())
    return _to_columns(rows, ("run", "point", *axes, "seed", "step", "name", "value"))


def result_columns(source: ExportSource) -> Columns:
    """A row per statistic of a point's result, at any depth.

    `quantity` is the path of the statistic. For an entry of a list, such as a layer or a curve, the
    scalar fields of the entry are columns too (`curves.mode`). For a statistic in a list, its index
    and the values at that index in lists of equal length are columns too
    (`curves.fractions_percent`).
    """
    assert source.result is not None
    points = source.points()
    rows: list[Row] = []
    for point in source.result.points:
        index = source.find_point(point.point)
        fields = point.model_dump(mode="json", exclude={"point"})
        rows += [
            {
                "point": index,
                "outcome": fields["outcome"],
                **_axes(points[index], RESULT_COLUMNS),
                "quantity": quantity,
                **entry,
                **_spread(statistic),
            }
            for quantity, entry, statistic in _walk(fields, "", {})
        ]
    axes = _names(_axes(point, RESULT_COLUMNS) for point in points.values())
    entries = [name for name in _names(rows) if name not in {*RESULT_COLUMNS, *axes}]
    return _to_columns(rows, ("point", *axes, "outcome", "quantity", *entries, *RESULT_COLUMNS[3:]))


def _walk(value: Any, path: str, entry: Row) -> Iterator[tuple[str, Row, Mapping[str, Any]]]:
    """(path, fields of the entry, statistic) of each statistic in a value."""
    if _is_statistic(value):
        yield path, entry, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            below = f"{path}.{name}" if path else name
            if isinstance(inner, list) and inner and _is_statistic(inner[0]):
                for index, one in enumerate(inner):
                    aligned = _aligned_values(value, path, index, len(inner)) if entry else {}
                    yield from _walk(one, below, {**entry, f"{below}.index": index, **aligned})
            else:
                yield from _walk(inner, below, entry)
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, Mapping):
                own = {f"{path}.{name}": inner for name, inner in one.items() if _is_scalar(inner)}
                yield from _walk(one, path, {**entry, **own})


def _aligned_values(entry: Mapping[str, Any], path: str, index: int, length: int) -> Row:
    """The values at an index of all lists of scalars that have this length."""
    return {
        f"{path}.{name}": values[index]
        for name, values in entry.items()
        if isinstance(values, list) and len(values) == length and all(map(_is_scalar, values))
    }


def _is_statistic(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) >= set(Statistic.model_fields)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _spread(statistic: Mapping[str, Any]) -> Row:
    low, high = statistic["ci95"] or (None, None)
    return {
        **{name: statistic[name] for name in ("mean", "standard_error", "n")},
        "ci95_low": low,
        "ci95_high": high,
    }


def _axes(values: Mapping[str, Any], taken: Sequence[str]) -> dict[str, Any]:
    """The swept values by path; a path that is also a column gets the prefix `spec.`."""
    return {f"spec.{path}" if path in taken else path: value for path, value in values.items()}


def _names(rows: Iterator[Row] | Sequence[Row]) -> list[str]:
    """The keys of all rows, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _to_columns(rows: Sequence[Row], names: Sequence[str]) -> Columns:
    return {name: [row.get(name) for row in rows] for name in names}
