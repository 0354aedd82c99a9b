"""What finished runs tell of points to come: how long runs of their shape took."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from engine.cost import shape_of
from schemas.status import RunStatus
from storage.database.tables import ExperimentRow, PointRow, RunRow

LOOKED_AT = 300
"""Newest runs that are asked; an estimate needs no more."""


@dataclass(frozen=True, slots=True)
class TimedRun:
    """A succeeded run that has trained all of its seeds itself."""

    spec: Mapping[str, Any]
    execution: Mapping[str, Any]
    device: str
    """`cpu` or `cuda`"""
    num_seeds: int
    seconds: float


def find_timed_runs(
    session: Session, kinds: Collection[str], shapes: Collection[str]
) -> dict[str, list[TimedRun]]:
    """By shape (`engine.cost.shape_of`), newest first, runs of these kinds; shapes without any are left out.

    A run that has loaded a training is left out: its time tells nothing of one that trains. So is one that cannot be read.
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
        .limit(LOOKED_AT)
    )
    found: dict[str, list[TimedRun]] = {}
    for point, experiment, run in session.execute(query):
        if point.unreadable or experiment.unreadable or run.unreadable:
            continue
        spec, execution = point.spec, experiment.execution
        shape = shape_of(spec, execution)
        if shape not in shapes or any(
            seed_result.get("reused_from") for seed_result in run.result or ()
        ):
            continue
        timed = TimedRun(spec, execution, run.device or "cpu", len(run.seeds), run.elapsed_seconds)
        found.setdefault(shape, []).append(timed)
    return found
