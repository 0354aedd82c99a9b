"""Claim 8: stochastic gradients are skewed (paper, Section 1 and Figure 1).

The paper prints no number for it. The bounds below were fixed before any spectrum was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.analysis.low_point import LowestDifference
from engine.analysis.stats import CONFIDENCE, SHARE, Bounds
from engine.experiments.gradient_spectrum.result import SpectrumSeedResult, StepSpectrum
from engine.kind import FinishedPoint
from engine.paper.claims import get_claim
from engine.paper.sentences import Wording
from engine.paper.verdict import Measurement, Subject, Verdict, conclude, unmeasured
from engine.result import PointResult, Statistic

MOST = 0.5
"""Share of components near zero that counts as most. Near zero is below 1 % of the largest.

Among as many Gaussian numbers one in twenty is, as their largest is about five standard deviations.
"""
FEW_PERCENT = "10"
SIGNIFICANT = 0.9
"""Share of the squared norm that the largest 10 % must hold for few components to be significant.

For Gaussian numbers they hold 44 %, for the heavier tails of Laplace's distribution 60 %.
"""


def judge(
    points: Sequence[FinishedPoint],
    summary: Sequence[PointResult],
    confidence: float = CONFIDENCE,
) -> list[Verdict]:
    """A verdict on claim 8 for every point with results, from the worst of its steps."""
    return [
        conclude(
            get_claim(8),
            _measure(point, point_result),
            Subject([point.spec], len(point.results), dict(point.values)),
            confidence,
        )
        for point, point_result in zip(
            (point for point in points if point.results), summary, strict=True
        )
    ]


def _measure(point: FinishedPoint, point_result: PointResult) -> list[Measurement]:
    near_zero = (
        f"Most components, more than {MOST:.0%}, are smaller than 1 % of the largest, at every "
        "step measured"
    )
    few = (
        f"The largest {FEW_PERCENT} % hold more than {SIGNIFICANT:.0%} of the squared norm, at "
        "every step measured"
    )
    seeds = [
        result
        for result in point.results
        if isinstance(result, SpectrumSeedResult) and result.steps
    ]
    if point_result.outcome != "trained" or not seeds:
        reason = "the net did not train" if seeds else "no step was reached with a finite gradient"
        return [unmeasured(statement, reason) for statement in (near_zero, few)]
    return [
        _hold_at_every_step(
            near_zero,
            "In each gradient measured, at least {} of the components are smaller than 1 % of the "
            "largest",
            seeds,
            lambda one: one.near_zero,
            MOST,
        ),
        _hold_at_every_step(
            few,
            f"In each gradient measured, the largest {FEW_PERCENT} % of the components hold at "
            "least {} of the squared norm",
            seeds,
            lambda one: one.share_of_norm[FEW_PERCENT],
            SIGNIFICANT,
        ),
    ]


def _hold_at_every_step(
    statement: str,
    told: str,
    seeds: Sequence[SpectrumSeedResult],
    quantity: Callable[[StepSpectrum], float],
    bound: float,
) -> Measurement:
    """The lowest mean over the steps that all seeds reached, against a bound."""
    by_seed = [{one.step: quantity(one) for one in seed.steps} for seed in seeds]
    steps = [step for step in by_seed[0] if all(step in values for values in by_seed)]
    if not steps:
        return unmeasured(statement, "no step was reached by every seed")
    above = LowestDifference(
        [[values[step] for values in by_seed] for step in steps], [[bound] * len(seeds)]
    )

    def interval(confidence: float) -> Bounds:
        low, high = above.interval(confidence)
        return max(SHARE[0], bound + low), min(SHARE[1], bound + high)

    return Measurement(
        statement,
        Statistic(mean=bound + above.value, standard_error=None, ci95=None, n=len(seeds)),
        Wording(told, unit="share"),
        above=bound,
        bounds=SHARE,
        interval=interval,
    )
