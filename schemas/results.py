"""The result of an experiment: its kind's summary over the seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.result import Statistic
from schemas.base import Resource
from schemas.submission import ReusedTraining

STATISTIC_FIELDS = frozenset(Statistic.model_fields)


class Result(Resource):
    kind: str
    points: list[dict[str, Any]]
    """One result per point, as the kind's `result_schema` describes it."""
    seeds: int
    reused: list[ReusedTraining]
    """Trainings that were loaded instead of repeated, and the run that each was taken from."""


def is_statistic(value: Any) -> bool:
    """Whether a value of a result is a statistic over seeds."""
    return isinstance(value, Mapping) and set(value) == STATISTIC_FIELDS
