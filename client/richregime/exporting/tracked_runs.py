"""An experiment as experiment trackers store it: a run for each point and seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from richregime.enums import RunStatus
from richregime.exporting.source import ExportSource
from richregime.formatting import format_value
from richregime.types import MetricValue


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A point and seed."""

    name: str
    """Swept values and seed: `width 100, seed 3`"""
    id: str
    """The same in each export: `exp_...-point2-seed3`"""
    parameters: Mapping[str, Any]
    """The spec by dotted path, and the seed"""
    tags: Mapping[str, str]
    metrics: Mapping[int, Mapping[str, float]]
    """Values by step and name; NaN where one was not finite"""
    status: RunStatus | str
    started_at: datetime
    finished_at: datetime | None

    @property
    def has_failed(self) -> bool:
        return self.finished_at is not None and self.status != RunStatus.SUCCEEDED


def group_name(source: ExportSource) -> str:
    """The name of the experiment, unlike that of any other: `Figure 2 (exp_...)`."""
    experiment = source.experiment
    return f"{experiment.name or experiment.title or experiment.kind} ({experiment.id})"


def list_tracked_runs(source: ExportSource) -> Iterator[TrackedRun]:
    """The runs that have logged something, by point and seed."""
    items: dict[tuple[int, int], list[MetricValue]] = {}
    for item in source.metrics.items:
        items.setdefault((item.point, item.seed), []).append(item)
    runs, points = source.runs_by_cell(), source.points()
    experiment = source.experiment
    for point, seed in sorted(items):
        run = runs[point, seed]
        swept = [
            f"{path.rpartition('.')[2]} {format_value(value)}"
            for path, value in points[point].items()
        ]
        steps: dict[int, dict[str, float]] = {}
        for item in items[point, seed]:
            value = float("nan") if item.value is None else item.value
            steps.setdefault(item.step, {})[item.name] = value
        yield TrackedRun(
            name=", ".join([*swept, f"seed {seed}"]),
            id=f"{experiment.id}-point{point}-seed{seed}",
            parameters={**source.spec_of(run), "seed": seed},
            tags={
                "richregime.experiment": experiment.id,
                "richregime.run": run.id,
                "richregime.digest": str((run.manifest or {}).get("digest", experiment.digest)),
                "richregime.kind": experiment.kind,
                "richregime.status": str(run.status),
                **{f"label.{key}": value for key, value in experiment.labels.items()},
            },
            metrics={step: steps[step] for step in sorted(steps)},
            status=run.status,
            started_at=run.started_at or run.created_at,
            finished_at=run.finished_at,
        )
