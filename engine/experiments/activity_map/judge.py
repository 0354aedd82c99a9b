"""Claim 5: with width the active parameters concentrate at the net's ends (paper, Section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from engine.analysis.fractions import percent_key
from engine.analysis.stats import CONFIDENCE, Bounds, summarize
from engine.experiments.activity_map.result import (
    ActivityMapPointResult,
    as_activity,
    concentration_bounds,
    concentration_of_layer,
)
from engine.experiments.activity_map.spec import ActivityMapSpec
from engine.kind import FinishedPoint
from engine.models.spec import ConvNetSpec, ReluNetSpec
from engine.paper.claims import get_claim
from engine.paper.sentences import Wording
from engine.paper.verdict import (
    Measurement,
    Subject,
    Verdict,
    conclude,
    shared_values,
    unmeasured,
)
from engine.result import PointResult

JUDGED_ALPHA_PERCENT = 1.0
"""The counted alpha nearest to the paper's smallest decides.

A layer's concentration is at most 100 / alpha, which leaves little room to grow at larger alphas.
"""

NARROW_WIDTH = {"relu_net": 100, "conv_net": 10}
"""By net, the narrow width of Figures 5, 6 and 17 to 20; the paper names no wide one."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """A point of a ReLU-Net or Conv-Net, and its result."""

    point: FinishedPoint
    point_result: ActivityMapPointResult
    spec: ActivityMapSpec
    width: int

    def concentrations(self, layer: int, alpha: str) -> dict[int, float]:
        """By seed."""
        found = {
            result.seed: concentration_of_layer(as_activity(result), layer, alpha)
            for result in self.point.results
        }
        return {seed: value for seed, value in found.items() if value is not None}

    def bounds(self, layer: int) -> Bounds:
        """Of the layer's concentration."""
        return concentration_bounds(as_activity(self.point.results[0]), layer)


def judge(
    points: Sequence[FinishedPoint],
    summary: Sequence[PointResult],
    confidence: float = CONFIDENCE,
) -> list[Verdict]:
    """A verdict on claim 5 for every group of points that differ only in width."""
    return [
        conclude(get_claim(5), _measure(group), _describe(group), confidence)
        for group in _group_points(points, summary)
    ]


def _group_points(
    points: Sequence[FinishedPoint], summary: Sequence[PointResult]
) -> list[list[_Cell]]:
    """Groups of ReLU-Nets or Conv-Nets, the models of the claim; the narrowest net first."""
    groups: dict[str, list[_Cell]] = {}
    finished = [point for point in points if point.results]
    for point, point_result in zip(finished, summary, strict=True):
        assert isinstance(point_result, ActivityMapPointResult)
        assert isinstance(point.spec, ActivityMapSpec)
        model = point.spec.model
        if isinstance(model, ReluNetSpec | ConvNetSpec):
            key = point.spec.model_dump_json(exclude={"model": {"width"}})
            groups.setdefault(key, []).append(_Cell(point, point_result, point.spec, model.width))
    return [sorted(group, key=lambda cell: cell.width) for group in groups.values()]


def _describe(group: Sequence[_Cell]) -> Subject:
    narrow, wanted = group[0].width, NARROW_WIDTH[group[0].spec.model.name]
    return Subject(
        specs=[cell.spec for cell in group],
        num_seeds=min(len(cell.point.results) for cell in group),
        values=shared_values([cell.point for cell in group]),
        departures=(
            (f"the narrow net has width {narrow:,} instead of {wanted}",)
            if narrow != wanted
            else ()
        ),
    )


def _measure(group: Sequence[_Cell]) -> list[Measurement]:
    """For each end of the net: concentrated in the widest net, and more than in the narrowest."""
    narrow, wide = group[0], group[-1]
    alpha = percent_key(_choose_alpha(wide.point_result.alphas_percent))
    ends = {"bottom": 0}
    if isinstance(wide.spec.model, ReluNetSpec):
        ends["top"] = len(wide.point_result.layers) - 1
    statement = (
        f"The active set (alpha = {alpha} %) concentrates in the {' and '.join(ends)} layer "
        "with width"
    )
    if narrow.width == wide.width:
        return [unmeasured(statement, "only one width has finished")]
    if len(wide.point_result.layers) == 2 and len(ends) == 2:
        return [unmeasured(statement, "a net of two layers has nothing between its ends")]
    if (narrow.point_result.outcome, wide.point_result.outcome) != ("trained", "trained"):
        return [unmeasured(statement, "a net of the two widths compared did not train")]
    measurements = []
    for end, layer in ends.items():
        measurements += [
            _is_concentrated(wide, end, layer, alpha),
            _grows(narrow, wide, end, layer, alpha),
        ]
    return measurements


def _choose_alpha(alphas_percent: Sequence[float]) -> float:
    return min(alphas_percent, key=lambda alpha: abs(log(alpha / JUDGED_ALPHA_PERCENT)))


def _is_concentrated(wide: _Cell, end: str, layer: int, alpha: str) -> Measurement:
    statement = (
        f"At width {wide.width:,} the {end} layer holds more of the active set (alpha = {alpha} %) "
        "than of the parameters: ratio of the two shares"
    )
    ratios = wide.concentrations(layer, alpha)
    if not ratios:
        return unmeasured(statement, "nothing was ever active")
    wording = Wording(
        f"At width {wide.width:,}, the {end} layer holds {{}} as much of the active set as of the "
        "parameters",
        unit="ratio",
    )
    bounds = wide.bounds(layer)
    return Measurement(
        statement, summarize(ratios.values(), bounds), wording, above=1.0, bounds=bounds
    )


def _grows(narrow: _Cell, wide: _Cell, end: str, layer: int, alpha: str) -> Measurement:
    """Paired by seed: a seed gives both nets the same order of batches."""
    statement = (
        f"From width {narrow.width:,} to {wide.width:,} that ratio of the {end} layer grows "
        f"(alpha = {alpha} %): difference, paired by seed"
    )
    before, after = narrow.concentrations(layer, alpha), wide.concentrations(layer, alpha)
    differences = [after[seed] - before[seed] for seed in after if seed in before]
    if not differences:
        return unmeasured(statement, "no seed was counted at both widths")
    what = (
        f"From width {narrow.width:,} to {wide.width:,}, the {end} layer's share of the active set "
        "over its share of the parameters"
    )
    wording = Wording(f"{what} grows by {{}}", f"{what} falls by {{}}", unit="number")
    bounds = (-narrow.bounds(layer)[1], wide.bounds(layer)[1])
    return Measurement(statement, summarize(differences, bounds), wording, above=0.0, bounds=bounds)
