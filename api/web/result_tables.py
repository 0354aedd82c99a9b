"""Results and runs as rows of text for the page; works for any kind: a column for each statistic of its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.web.wording import is_statistic, show_point, show_statistic, show_value
from schemas.resources import Experiment, Run


@dataclass(frozen=True, slots=True)
class Table:
    """A row a point: `axes` name it, `columns` say what came out."""

    axes: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[tuple[Sequence[str], Sequence[str], str]]
    """Swept values, statistics and number of seeds, outcome."""


def result_table(points: Sequence[Mapping[str, Any]]) -> Table | None:
    """The swept values, then every statistic as mean ± standard error, seeds and outcome; None where no point has a result."""
    if not points:
        return None
    axes = list(dict.fromkeys(axis for point in points for axis in point["point"]))
    fields = list(
        dict.fromkeys(
            name for point in points for name, value in point.items() if is_statistic(value)
        )
    )
    rows = [
        (
            [show_value(point["point"].get(axis)) for axis in axes],
            [*(_show(point.get(field)) for field in fields), str(len(point["seeds"]))],
            str(point["outcome"]),
        )
        for point in points
    ]
    return Table(axes, [*(field.replace("_", " ") for field in fields), "seeds"], rows)


def _show(value: Any) -> str:
    return show_statistic(value["mean"], value["standard_error"]) if is_statistic(value) else ""


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
