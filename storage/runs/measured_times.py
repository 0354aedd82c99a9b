"""Find how long finished runs took, to estimate new ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import load_only
from sqlmodel import Session

from engine.cost import shape_of
from schemas.status import RunStatus
from storage.database.tables import ExperimentRow, PointRow, RunRow

MAX_RUNS_READ = 300
"""The newest runs; an estimate needs no more"""
MAX_SEEDS_READ = 5_000
"""Of all runs together: each has a result"""
BATCH = 20


@dataclass(frozen=True, slots=True)
class TimedRun:
    """A succeeded run that trained all its seeds itself."""

    spec: Mapping[str, Any]
    execution: Mapping[str, Any]
    device: str
    """`cpu` or `cuda`"""
    num_seeds: int
    seconds: float
    setup_seconds: float | None
    """Of `seconds`, those before the work began; None for a run of an older version"""
    training_seconds: float
    """Of `seconds`, those that the results tell as parts of the training"""


def find_timed_runs(
    session: Session, kinds: Collection[str], shapes: Collection[str]
) -> dict[str, list[TimedRun]]:
    """Runs of these kinds by shape (`engine.cost.shape_of`), newest first.

    Left out are shapes without runs, runs that reused a training (their time says nothing about
    training) and unreadable runs.
    """
    query = (
        select(PointRow, ExperimentRow, RunRow)
        .join(RunRow, RunRow.point_id == PointRow.id)
        .join(ExperimentRow, ExperimentRow.id == RunRow.experiment_id)
        .where(
            ExperimentRow.kind.in_(list(kinds)),
            RunRow.status == RunStatus.SUCCEEDED,
            RunRow.elapsed_seconds > 0,
            ExperimentRow.imported_from.is_(None),
        )
        .order_by(RunRow.id.desc())
        .limit(MAX_RUNS_READ)
        .options(load_only(PointRow.spec), load_only(ExperimentRow.execution))
        .execution_options(yield_per=BATCH)
    )
    num_seeds = 0
    found: dict[str, list[TimedRun]] = {}
    for point, experiment, run in session.execute(query):
        if num_seeds > MAX_SEEDS_READ:
            break
        if point.unreadable or experiment.unreadable or run.unreadable:
            continue
        num_seeds += len(run.seeds)
        spec, execution = point.spec, experiment.execution
        shape = shape_of(spec, execution)
        if shape not in shapes or any(result.get("reused_from") for result in run.result or ()):
            continue
        timed = TimedRun(
            spec=spec,
            execution=execution,
            device=run.device or "cpu",
            num_seeds=len(run.seeds),
            seconds=run.elapsed_seconds,
            setup_seconds=(run.manifest or {}).get("setup_seconds"),
            training_seconds=sum(map(_training_seconds, run.result or ())),
        )
        found.setdefault(shape, []).append(timed)
    return found


def _training_seconds(result: Mapping[str, Any]) -> float:
    parts = result.get("timings") or {}
    return float(sum(value for name, value in parts.items() if name.endswith("_seconds")))
