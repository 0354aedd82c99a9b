"""The results of a gradient spectrum: of a seed and of a point."""

from __future__ import annotations

from collections.abc import Sequence

from engine.analysis.stats import POSITIVE, SHARE, point_fields, summarize
from engine.kind import FinishedPoint
from engine.result import PointResult, ResultModel, SeedResult, Statistic

NEAR_ZERO_PERCENT = 1.0
"""A component is near zero where it is smaller than this percentage of the largest one."""


class StepSpectrum(ResultModel):
    """One seed's gradient at one step."""

    step: int
    p: int
    """Components, one per parameter."""
    quantiles: dict[str, float]
    """Quantiles of |g_i| by percent: `50` is the median, `100` the largest."""
    share_of_norm: dict[str, float]
    """Share of the squared norm that the largest components hold, by their percentage."""
    near_zero: float
    """Share of the components smaller than 1 % of the largest one."""
    zeros: float
    """Share of the components that are exactly zero."""


class SpectrumSeedResult(SeedResult):
    """One seed's spectra."""

    steps: tuple[StepSpectrum, ...]
    """The requested steps that were reached with a finite gradient."""


class StepSummary(ResultModel):
    """One step over the seeds that reached it with a finite gradient."""

    step: int
    p: int
    quantiles: dict[str, Statistic]
    """Quantiles of |g_i| by percent: `50` is the median, `100` the largest."""
    share_of_norm: dict[str, Statistic]
    """Share of the squared norm that the largest components hold, by their percentage."""
    near_zero: Statistic
    """Share of the components smaller than 1 % of the largest one."""
    zeros: Statistic
    """Share of the components that are exactly zero."""


class SpectrumPointResult(PointResult):
    """One point over its seeds."""

    steps: tuple[StepSummary, ...]
    """A step that no seed reached with a finite gradient is left out."""


def summarize_points(points: Sequence[FinishedPoint]) -> list[PointResult]:
    """One result for each point with at least one finished seed."""
    return [_summarize_point(point) for point in points if point.results]


def as_spectrum(result: SeedResult) -> SpectrumSeedResult:
    assert isinstance(result, SpectrumSeedResult)
    return result


def _summarize_point(point: FinishedPoint) -> SpectrumPointResult:
    by_step: dict[int, list[StepSpectrum]] = {}
    for result in point.results:
        for one in as_spectrum(result).steps:
            by_step.setdefault(one.step, []).append(one)
    return SpectrumPointResult(
        **point_fields(point),
        steps=tuple(_summarize_step(found) for _, found in sorted(by_step.items())),
    )


def _summarize_step(found: Sequence[StepSpectrum]) -> StepSummary:
    first = found[0]
    return StepSummary(
        step=first.step,
        p=first.p,
        quantiles={
            key: summarize((one.quantiles[key] for one in found), POSITIVE)
            for key in first.quantiles
        },
        share_of_norm={
            key: summarize((one.share_of_norm[key] for one in found), SHARE)
            for key in first.share_of_norm
        },
        near_zero=summarize((one.near_zero for one in found), SHARE),
        zeros=summarize((one.zeros for one in found), SHARE),
    )
