"""Results and lists as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from rich.box import SIMPLE_HEAVY
from rich.table import Table

from engine.result import Statistic
from schemas.resources import Experiment

UNBROKEN = "\u00a0"
"""A space at which no line ends: headings wrap rather than numbers."""


def result_table(result: Mapping[str, Any], title: str) -> Table:
    """A result's points as rows: the swept values, then every statistic as mean ± standard error.

    Works for any kind: a column stands for each field that holds a statistic in some point. The outcome is shown where
    a point diverged.
    """
    points: Sequence[Mapping[str, Any]] = result["points"]
    axes = _names(point["point"] for point in points)
    fields = _names(
        {name: None for name, value in point.items() if _statistic(value) is not None} for point in points
    )
    diverged = any(point.get("outcome") == "diverged" for point in points)
    table = Table(
        title=title,
        caption="mean ± one standard error over the seeds",
        box=SIMPLE_HEAVY,
        pad_edge=False,
        collapse_padding=True,
    )
    for axis in axes:
        table.add_column(axis, justify="right", no_wrap=True)
    for field in fields:
        table.add_column(field.replace("_", " "), justify="right")
    table.add_column("seeds", justify="right", no_wrap=True)
    if diverged:
        table.add_column("outcome")
    for point in points:
        shown = [_statistic(point.get(field)) for field in fields]
        table.add_row(
            *(show_value(point["point"].get(axis, "")) for axis in axes),
            *("" if one is None else show_statistic(one).replace(" ", UNBROKEN) for one in shown),
            str(len(point.get("seeds", ()))),
            *((str(point.get("outcome", "")),) if diverged else ()),
        )
    return table


def verdicts_table(comparison: Mapping[str, Any]) -> Table:
    """A row a claim, or a claim and a point: the verdict, what decides it, and why."""
    table = Table(
        title=f"claims of the paper, {comparison['experiment_id']}", box=SIMPLE_HEAVY, pad_edge=False
    )
    for column in ("claim", "verdict", "value", "95 % interval", "reason"):
        table.add_column(column, no_wrap=column == "verdict")
    for one in comparison["verdicts"]:
        point = ", ".join(f"{axis} {show_value(value)}" for axis, value in one["point"].items())
        interval = one["interval"]
        table.add_row(
            f"{one['claim']}. {one['title']}" + (f" ({point})" if point else ""),
            one["verdict"],
            "" if one["value"] is None else f"{one['value']:.4g}",
            "" if interval is None else f"[{interval[0]:.4g}, {interval[1]:.4g}]".replace(" ", UNBROKEN),
            one["reason"],
        )
    return table


def published_table(comparison: Mapping[str, Any]) -> Table:
    """A row a number that the paper prints, ours beside it."""
    table = Table(title="numbers that the paper prints", box=SIMPLE_HEAVY, pad_edge=False)
    for column in ("point", "quantity", "the paper's", "ours", "source"):
        table.add_column(column)
    for one in comparison["published"]:
        ours = _statistic(one["ours"])
        table.add_row(
            ", ".join(f"{axis} {show_value(value)}" for axis, value in one["point"].items()),
            one["quantity"].replace("_", " "),
            one["printed"],
            "" if ours is None else show_statistic(ours),
            one["source"],
        )
    return table


def show_value(value: Any) -> str:
    """A swept value in a cell; a whole form (a model, a policy) by its name and fields."""
    if not isinstance(value, Mapping):
        return str(value)
    fields = [f"{name}={held}" for name, held in value.items() if name != "name"]
    return " ".join([str(value.get("name", "")), *fields]).strip()


def experiments_table(experiments: Iterable[Experiment]) -> Table:
    table = Table()
    for column in ("id", "kind", "name", "status", "done", "points", "seeds", "created"):
        table.add_column(column, no_wrap=column == "id")
    for one in experiments:
        table.add_row(
            one.id,
            one.kind,
            one.name or "",
            str(one.status),
            f"{one.progress.fraction:.0%}",
            str(one.num_points),
            str(len(one.seeds)),
            f"{one.created_at:%Y-%m-%d %H:%M}",
        )
    return table


def show_statistic(statistic: Statistic) -> str:
    """Mean and standard error, with as many places as the error gives sense to."""
    error = statistic.standard_error
    if error is None:
        return f"{statistic.mean:.4g}"
    if error >= 10:
        return f"{statistic.mean:.0f} ± {error:.0f}"
    places = 1
    while places < 5 and error < 10.0**-places:
        places += 1
    shown = places + 1 if places < 4 else places
    return f"{statistic.mean:.{shown}f} ± {error:.{shown}f}"


def _statistic(value: Any) -> Statistic | None:
    if not isinstance(value, Mapping) or set(value) != set(Statistic.model_fields):
        return None
    try:
        return Statistic.model_validate(value)
    except ValidationError:
        return None


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys of all, in the order of their first appearance."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))
