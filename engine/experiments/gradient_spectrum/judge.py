"""Claim 8: stochastic gradients are skewed (paper, Section 1 and Figure 1).

The paper prints no number for it. The bounds below were fixed before any spectrum was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.analysis.stats import CONFIDENCE, SHARE, summarize
from engine.experiments.gradient_spectrum.result import SpectrumSeedResult, StepSpectrum
from engine.kind import FinishedPoint
from engine.paper.claims import get_claim
from engine.paper.sentences import Wording
from engine.paper.verdict import Measurement, Subject, Verdict, conclude, unmeasured
from engine.result import PointResult

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
    """A verdict on claim 8 for every point with results; each seed's worst step decides."""
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

    def least(quantity: Callable[[StepSpectrum], float]) -> list[float]:
        return [min(map(quantity, result.steps)) for result in seeds]

    return [
        Measurement(
            near_zero,
            summarize(least(lambda one: one.near_zero), SHARE),
            Wording(
                "In each gradient measured, at least {} of the components are smaller than 1 % of "
                "the largest",
                unit="share",
            ),
            above=MOST,
            bounds=SHARE,
        ),
        Measurement(
            few,
            summarize(least(lambda one: one.share_of_norm[FEW_PERCENT]), SHARE),
            Wording(
                f"In each gradient measured, the largest {FEW_PERCENT} % of the components hold at "
                "least {} of the squared norm",
                unit="share",
            ),
            above=SIGNIFICANT,
            bounds=SHARE,
        ),
    ]
