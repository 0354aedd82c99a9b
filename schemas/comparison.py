"""Comparisons: with the paper, of two points of an experiment, of several experiments."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.own_claims.judge import OwnVerdict
from engine.paper.comparison import PublishedValue
from engine.paper.verdict import Verdict
from engine.result import Statistic
from schemas.base import Resource
from schemas.resources import RunPoint
from schemas.seed_plan import SeedPlan
from schemas.status import ExperimentStatus


class Comparison(Resource):
    """The paper's claims and published numbers next to the finished points."""

    experiment_id: str
    kind: str
    complete: bool
    """Whether every seed of every point has finished, and no seeds are added any more."""
    confidence: float = 0.95
    """Of the intervals of the verdicts; higher where several looks at them were planned."""
    seed_plan: SeedPlan | None = None
    """The looks planned and made, and why they ended; null where the seeds are a list."""
    verdicts: list[Verdict]
    own_verdicts: list[OwnVerdict] = Field([])
    """On the claims of the submission, in their order; `verdicts` are on those of the paper."""
    published: list[PublishedValue]
    departures: list[str]
    """Departures of the finished points from the paper's protocol.

    Each verdict has those of its own points.
    """
    choices: list[str]
    """What the finished points choose where the paper is silent."""
    note: str
    """How to read the comparison."""


class PointDifference(Resource):
    """The difference of two points, paired by seed."""

    experiment_id: str
    point: RunPoint
    baseline: RunPoint
    complete: bool
    """Whether every seed of both points has finished."""
    seeds: list[int]
    """The seeds that both points have finished."""
    difference: dict[str, Statistic]
    """By quantity: the point minus the baseline, paired by seed."""
    ratio: dict[str, Statistic]
    """By time: the point divided by the baseline, paired by seed."""
    notes: list[str]


class ComparedExperiment(Resource):
    id: str
    name: str | None
    kind: str
    status: ExperimentStatus


class SpecDifference(Resource):
    """A submitted field that is not equal in all experiments."""

    path: str
    """Dotted: `spec.epochs`, `sweep.policy.rho`, `seeds`, `execution.precision`."""
    values: dict[str, Any]
    """By experiment id; an experiment without the field is left out."""


class StatisticDifference(Resource):
    """A statistic minus that of the first experiment at the same point."""

    mean: float
    ci95: tuple[float, float] | None
    """Interval of Welch's t, with the seeds as independent samples.

    Null where either has one seed, or neither has a spread.
    """


class ComparedStatistic(Resource):
    mean: float
    standard_error: float | None
    """Null with one seed."""
    ci95: tuple[float, float] | None
    """Null with one seed, and where all values are equal: there is no spread."""
    n: int
    difference: StatisticDifference | None
    """Null for the first experiment, and where the first has no value at the point."""


class ComparedPoint(Resource):
    point: dict[str, Any]
    """The swept fields and their values."""
    values: dict[str, ComparedStatistic]
    """By experiment id; an experiment without a value at the point is left out."""


class ComparedQuantity(Resource):
    quantity: str
    title: str
    """In plain words."""
    unit: str
    """`accuracy` and `share`: in [0, 1]; `difference` of two of these; `percent`: in [0, 100];
    `seconds`, `ratio`, `loss`, `count`; empty: without a unit."""
    points: list[ComparedPoint]
    """In the order in which the experiments' results first list them."""


class ExperimentComparison(Resource):
    """Experiments side by side."""

    experiments: list[ComparedExperiment]
    """In the order of the request; differences are to the first."""
    spec: list[SpecDifference]
    quantities: list[str]
    """What answers the kinds' questions, and the other statistics of the results; `test_accuracy`
    first; empty while there is no result."""
    headline: str | None = None
    """What answers the question of the first experiment's kind best; null while it has no result.
    """
    results: list[ComparedQuantity]
    """The requested quantity, or all quantities."""
