"""The result of an experiment: its kind's summary over the seeds."""

from __future__ import annotations

from typing import Any

from schemas.base import Resource
from schemas.submission import ReusedTraining


class Result(Resource):
    kind: str
    points: list[dict[str, Any]]
    """One result per point, as the kind's `result_schema` describes it."""
    seeds: int
    reused: list[ReusedTraining]
    """Trainings that were loaded instead of repeated, and the run that each was taken from."""
