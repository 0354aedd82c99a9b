"""An experiment's numbers as two tables of columns: every value logged, and every statistic of the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from api.web.wording import is_statistic
from richregime.exporting.source import ExportSource

Columns = dict[str, list[Any]]
"""Lists of one length, by name"""
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
    """`metrics`, and `results` once there are some."""
    yield "metrics", metric_columns(source)
    if source.result is not None:
        yield "results", result_columns(source)


def metric_columns(source: ExportSource) -> Columns:
    """A row a value: its run, its point's index and swept values, seed, step, name, and the value, null where it was
    not finite."""
    points, runs = source.points(), source.runs_by_cell()
    rows: list[Row] = [
        {
            **item,
            "run": runs[item["point"], item["seed"]].id,
            **_axes(points[item["point"]], METRIC_COLUMNS),
        }
        for item in source.metrics["items"]
    ]
    axes = _names(_axes(point, METRIC_COLUMNS) for point in points.values())
    return _to_columns(rows, ("run", "point", *axes, "seed", "step", "name", "value"))


def result_columns(source: ExportSource) -> Columns:
    """A row a statistic, wherever in a point's result it stands.

    `quantity` is its path in the result. Of an entry of a list, such as a layer or a curve, the entry's own fields stand
    beside it (`curves.mode`); of a statistic in a list, its place there and what lists of equal length in the same entry
    hold at that place (`curves.fractions_percent`).
    """
    assert source.result is not None
    points = source.points()
    rows: list[Row] = []
    for seed_result in source.result["points"]:
        index = source.find_point(seed_result["point"])
        fields = {name: value for name, value in seed_result.items() if name != "point"}
        rows += [
            {
                "point": index,
                "outcome": seed_result["outcome"],
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
    """(path, fields of the entry, statistic) of each statistic within."""
    if is_statistic(value):
        yield path, entry, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            below = f"{path}.{name}" if path else name
            if isinstance(inner, list) and inner and is_statistic(inner[0]):
                for place, one in enumerate(inner):
                    beside = _beside(value, path, place, len(inner)) if entry else {}
                    yield from _walk(one, below, {**entry, f"{below}.index": place, **beside})
            else:
                yield from _walk(inner, below, entry)
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, Mapping):
                own = {f"{path}.{name}": held for name, held in one.items() if _is_scalar(held)}
                yield from _walk(one, path, {**entry, **own})


def _beside(holder: Mapping[str, Any], path: str, place: int, length: int) -> Row:
    return {
        f"{path}.{name}": held[place]
        for name, held in holder.items()
        if isinstance(held, list) and len(held) == length and all(map(_is_scalar, held))
    }


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
    """The swept values by their paths; a path that is the name of another column says that it is the form's."""
    return {f"spec.{path}" if path in taken else path: value for path, value in values.items()}


def _names(rows: Iterator[Row] | Sequence[Row]) -> list[str]:
    """In the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _to_columns(rows: Sequence[Row], names: Sequence[str]) -> Columns:
    return {name: [row.get(name) for row in rows] for name in names}
