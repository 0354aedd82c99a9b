"""Results and runs as rows of text for the page; works for any kind: a column for each statistic of its sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.resources import Experiment, Run
from schemas.wording import is_statistic, show_point, show_value


@dataclass(frozen=True, slots=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def result_table(points: Sequence[Mapping[str, Any]]) -> Table:
    """The swept values, then every statistic as mean ± standard error, seeds and outcome."""
    axes = list(dict.fromkeys(axis for point in points for axis in point["point"]))
    fields = list(
        dict.fromkeys(name for point in points for name, value in point.items() if is_statistic(value))
    )
    rows = [
        [
            *(show_value(point["point"].get(axis)) for axis in axes),
            *(show_statistic(point.get(field)) for field in fields),
            str(len(point["seeds"])),
            str(point["outcome"]),
        ]
        for point in points
    ]
    return Table([*axes, *(field.replace("_", " ") for field in fields), "seeds", "outcome"], rows)


def show_statistic(value: Any) -> str:
    """Mean ± standard error, with as many places as the error gives sense to; empty for what is no statistic."""
    if not is_statistic(value):
        return ""
    mean, error = value["mean"], value["standard_error"]
    if not error:
        return f"{mean:.4g}"
    places = next((count for count in range(5) if error >= 10.0**-count), 5) + 1
    return f"{mean:.{places}f} ± {error:.{places}f}"


def describe_run(run: Run) -> dict[str, Any]:
    """A run's row in the page's table."""
    return {
        "id": run.id,
        "point": show_point(run.point.values) or "—",
        "seeds": ", ".join(map(str, run.seeds)),
        "status": run.status,
        "percent": f"{run.progress.fraction:.0%}",
        "device": run.device or "",
        "seconds": show_seconds(run.elapsed_seconds),
        "attempts": run.attempts,
        "detail": run.detail or "",
    }


def show_took(experiment: Experiment) -> str:
    """From its first run's start to its end; empty while it is under way."""
    if experiment.started_at is None or experiment.finished_at is None:
        return ""
    return show_seconds((experiment.finished_at - experiment.started_at).total_seconds())


def show_seconds(seconds: float | None) -> str:
    """`12 s`, `3 min 20 s`, `2 h 5 min`; empty for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
