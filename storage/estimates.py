"""What finished runs tell of points like them: how long a seed took, and which seeds are already trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from schemas.status import RunStatus
from storage.tables import ExperimentRow, PointRow, RunRow

LOOKED_AT = 2_000
"""Newest runs that are asked; an estimate needs no more."""
ARITHMETIC = ("precision", "deterministic", "stack_seeds")
"""Fields of the execution that decide a training's bits."""


@dataclass(slots=True)
class Earlier:
    """Earlier runs of one point's digest."""

    seconds: float = 0.0
    num_seeds: int = 0
    seeds: set[int] = field(default_factory=set)
    """Seeds that are trained with the same arithmetic"""

    @property
    def seconds_a_seed(self) -> float:
        return self.seconds / self.num_seeds


def find_earlier(
    session: Session, digests: Sequence[str], execution: Mapping[str, Any]
) -> dict[str, Earlier]:
    """By digest of a point, what its succeeded runs of any experiment tell; points without any are left out."""
    query = (
        select(PointRow.digest, RunRow.seeds, RunRow.elapsed_seconds, ExperimentRow.execution)
        .join(RunRow, RunRow.point_id == PointRow.id)
        .join(ExperimentRow, ExperimentRow.id == RunRow.experiment_id)
        .where(PointRow.digest.in_(list(digests)), RunRow.status == RunStatus.SUCCEEDED)
        .order_by(RunRow.id.desc())
        .limit(LOOKED_AT)
    )
    found: dict[str, Earlier] = {}
    for digest, seeds, seconds, used in session.execute(query):
        earlier = found.setdefault(digest, Earlier())
        earlier.seconds += seconds
        earlier.num_seeds += len(seeds)
        if all(used.get(name) == execution.get(name) for name in ARITHMETIC):
            earlier.seeds.update(seeds)
    return found
