"""Results and runs as table rows; a result of any kind has a column for each statistic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.web.formatting import format_point, format_seconds, format_statistic, format_value
from schemas.resources import Experiment, Run
from schemas.results import is_statistic


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A row for each point."""

    axes: Sequence[str]
    """Paths of the swept fields"""
    columns: Sequence[str]
    """Names of the statistics, and `seeds`"""
    rows: Sequence[tuple[Sequence[str], Sequence[str], str]]
    """(swept values, statistics and number of seeds, outcome)"""


def result_table(points: Sequence[Mapping[str, Any]]) -> ResultTable | None:
    """Swept values, statistics as mean ± standard error, seeds and outcome of each point.

    None if no point has a result.
    """
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
            [format_value(point["point"].get(axis)) for axis in axes],
            [*(_statistic_cell(point.get(field)) for field in fields), str(len(point["seeds"]))],
            str(point["outcome"]),
        )
        for point in points
    ]
    return ResultTable(axes, [*(field.replace("_", " ") for field in fields), "seeds"], rows)


def _statistic_cell(value: Any) -> str:
    return format_statistic(value["mean"], value["standard_error"]) if is_statistic(value) else ""


def run_row(run: Run) -> dict[str, Any]:
    """The cells of a run's row."""
    return {
        "id": run.id,
        "point": format_point(run.point.values) or "—",
        "seeds": ", ".join(map(str, run.seeds)),
        "status": run.status,
        "percent": f"{run.progress.fraction:.0%}",
        "device": run.device or "",
        "seconds": format_seconds(run.elapsed_seconds),
        "attempts": run.attempts,
        "detail": run.detail or "",
    }


def format_elapsed(experiment: Experiment) -> str:
    """The time from its first run's start to its end; empty until then."""
    if experiment.started_at is None or experiment.finished_at is None:
        return ""
    return format_seconds((experiment.finished_at - experiment.started_at).total_seconds())
