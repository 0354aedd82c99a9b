"""An experiment beside the paper, and two of its points beside each other, as the API answers them."""

from __future__ import annotations

from engine.paper.comparison import PublishedValue
from engine.paper.verdict import Verdict
from engine.result import Statistic
from schemas.base import Resource
from schemas.resources import RunPoint


class Comparison(Resource):
    """The paper's claims and published numbers beside what has finished."""

    experiment_id: str
    kind: str
    complete: bool
    """Whether every seed of every point has finished."""
    verdicts: list[Verdict]
    published: list[PublishedValue]
    deviations: list[str]
    """Where the finished points depart from the paper's protocol; each verdict has those of its own points."""
    note: str
    """How to read it."""


class PointDifference(Resource):
    """One point against another, seed by seed."""

    experiment_id: str
    point: RunPoint
    baseline: RunPoint
    complete: bool
    """Whether every seed of both points has finished."""
    seeds: list[int]
    """Those that both points have finished."""
    difference: dict[str, Statistic]
    """By quantity: the point's value minus the baseline's, paired by seed."""
    ratio: dict[str, Statistic]
    """By time: the point's over the baseline's, paired by seed."""
    notes: list[str]
