"""Logged metrics: each value, or statistics over the seeds."""

from __future__ import annotations

from engine.result import Statistic
from schemas.base import Page, Resource


class MetricValue(Resource):
    point: int
    seed: int
    name: str
    step: int
    value: float | None


class MetricStatistic(Resource):
    point: int
    name: str
    step: int
    statistic: Statistic


class Metrics(Page[MetricValue]):
    sampled: bool = False
    """Whether steps were left out, so that each series has at most `points` steps."""


class AggregatedMetrics(Page[MetricStatistic]):
    sampled: bool = False
    """Whether steps were left out, so that each series has at most `points` steps."""
