"""Claim 3: what width gives at random, and what training gives (paper, Section 4)."""

from __future__ import annotations

from collections.abc import Sequence

from engine.analysis.stats import CONFIDENCE
from engine.kind import FinishedPoint
from engine.paper.verdict import Verdict
from engine.paper.width_claim import (
    WIDTH_CLAIM,
    conclude_on_nets,
    group_by_width,
    measure_width_effects,
)
from engine.result import PointResult


def judge(
    points: Sequence[FinishedPoint],
    summary: Sequence[PointResult],
    confidence: float = CONFIDENCE,
) -> list[Verdict]:
    """A verdict on claim 3 for every group of at least two ReLU-Nets that differ only in width."""
    return [
        conclude_on_nets(WIDTH_CLAIM, measurements, nets, confidence)
        for nets in group_by_width(points)
        if (measurements := measure_width_effects(nets))
    ]
