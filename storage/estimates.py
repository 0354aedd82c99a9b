"""What finished runs tell of points like them: how long a seed took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import Session

from schemas.status import RunStatus
from storage.tables import PointRow, RunRow

LOOKED_AT = 2_000
"""Newest runs that are asked; an estimate needs no more."""


@dataclass(slots=True)
class Earlier:
    """Earlier runs of one point's digest."""

    seconds: float = 0.0
    num_seeds: int = 0

    @property
    def seconds_a_seed(self) -> float:
        return self.seconds / self.num_seeds


def find_earlier(session: Session, digests: Sequence[str]) -> dict[str, Earlier]:
    """By digest of a point, what its succeeded runs of any experiment tell; points without any are left out."""
    query = (
        select(PointRow.digest, RunRow.seeds, RunRow.elapsed_seconds)
        .join(RunRow, RunRow.point_id == PointRow.id)
        .where(PointRow.digest.in_(list(digests)), RunRow.status == RunStatus.SUCCEEDED)
        .order_by(RunRow.id.desc())
        .limit(LOOKED_AT)
    )
    found: dict[str, Earlier] = {}
    for digest, seeds, seconds in session.execute(query):
        earlier = found.setdefault(digest, Earlier())
        earlier.seconds += seconds
        earlier.num_seeds += len(seeds)
    return found
