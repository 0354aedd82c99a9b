"""Claim 8: stochastic gradients are skewed (paper, Section 1 and Figure 1).

The paper prints no number for it. Those below were fixed before any spectrum was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.analysis.stats import summarize
from engine.experiments.gradient_spectrum.result import SpectrumSeedResult, StepSpectrum
from engine.kind import FinishedPoint
from engine.paper.claims import get_claim
from engine.paper.deviations import list_deviations
from engine.paper.verdict import Finding, Verdict, conclude, judge_bounds, undecided
from engine.result import PointResult

MOST = 0.5
"""`Most` components are near zero: more than half are smaller than 1 % of the largest. Of as many Gaussian numbers it
would be one in twenty, as their largest is about five standard deviations."""
FEW_PERCENT = "10"
SIGNIFICANT = 0.9
"""`Few` are significant: the largest 10 % hold more than 90 % of the squared norm. Of Gaussian numbers they hold 44 %,
of Laplace's, whose tails are heavy, 60 %."""


def judge(points: Sequence[FinishedPoint], summary: Sequence[PointResult]) -> list[Verdict]:
    """A verdict on claim 8 for every point with results; the step at which it holds least decides for each seed."""
    return [
        conclude(
            get_claim(8),
            _find(point, seed_result),
            dict(point.values),
            list_deviations([point.spec], len(point.results)),
        )
        for point, seed_result in zip(
            (point for point in points if point.results), summary, strict=True
        )
    ]


def _find(point: FinishedPoint, seed_result: PointResult) -> list[Finding]:
    near_zero = f"Most components, more than {MOST:.0%}, are smaller than 1 % of the largest, at every step measured"
    few = f"The largest {FEW_PERCENT} % hold more than {SIGNIFICANT:.0%} of the squared norm, at every step measured"
    seeds = [
        result
        for result in point.results
        if isinstance(result, SpectrumSeedResult) and result.steps
    ]
    if seed_result.outcome != "trained" or not seeds:
        reason = "the net did not train" if seeds else "no step was reached with a finite gradient"
        return [undecided(statement, reason) for statement in (near_zero, few)]

    def least(quantity: Callable[[StepSpectrum], float]) -> list[float]:
        return [min(map(quantity, result.steps)) for result in seeds]

    return [
        judge_bounds(near_zero, summarize(least(lambda one: one.near_zero)), above=MOST),
        judge_bounds(
            few, summarize(least(lambda one: one.share_of_norm[FEW_PERCENT])), above=SIGNIFICANT
        ),
    ]
