"""Claim 3: what width gives at random, and what training gives (paper, Section 4)."""

from __future__ import annotations

from collections.abc import Sequence

from engine.kind import FinishedPoint
from engine.paper.verdict import Verdict
from engine.paper.width_claim import (
    WIDTH_CLAIM,
    conclude_on_nets,
    find_width_effects,
    group_by_width,
)
from engine.result import PointResult


def judge(points: Sequence[FinishedPoint], summary: Sequence[PointResult]) -> list[Verdict]:
    """A verdict on claim 3 for every group of at least two ReLU-Nets that differ only in width."""
    return [
        conclude_on_nets(WIDTH_CLAIM, findings, nets)
        for nets in group_by_width(points)
        if (findings := find_width_effects(nets))
    ]
