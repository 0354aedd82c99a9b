"""Claims 1 to 4: re-initialised active and lazy parameters, and width (paper, Section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from engine.analysis.fractions import Mode
from engine.analysis.stats import summarize
from engine.experiments.reinit_sweep.result import ReinitSeedResult, reinit_results
from engine.kind import FinishedPoint
from engine.paper.verdict import Finding, Verdict, judge_bounds, undecided
from engine.paper.width_claim import (
    WIDE,
    WIDTH_CLAIM,
    Net,
    conclude_on_nets,
    find_width_effects,
    group_by_width,
)
from engine.result import PointResult

FEW_PERCENT = 0.1
LOW_POINT_PERCENT = (0.5, 20.0)
"""The paper says "near 1 to 10 %"; near allows a factor of two."""
TENTH_PERCENT = 10.0
RECOVERY_MARGIN = 0.02
"""Largest loss at which the trained accuracy counts as recovered: the paper calls at most 2 points
little (Section 6.1)."""


def judge(points: Sequence[FinishedPoint], summary: Sequence[PointResult]) -> list[Verdict]:
    """A verdict on claims 1 to 4 for every group of ReLU-Nets that differ only in width.

    What is compared is fixed before any accuracy is read: the widest net, fixed fractions. A low
    point has to be searched for; it is searched for in the curves of the other seeds.
    """
    verdicts = []
    for nets in group_by_width(points):
        for claim, find in (
            (1, _find_loss),
            (2, _find_rise),
            (WIDTH_CLAIM, find_width_effects),
            (4, _find_recovery),
        ):
            findings = find(nets)
            if findings:
                verdicts.append(conclude_on_nets(claim, findings, nets))
    return verdicts


def _find_loss(nets: Sequence[Net]) -> list[Finding]:
    """Claim 1: at every width, as the paper names none; the low point at the widest net alone,
    as only its curve has one."""
    if not _has_mode(nets, "active"):
        return []
    return [*(_few_hurt(net) for net in nets), _low_point_is_early(nets[-1])]


def _few_hurt(net: Net) -> Finding:
    statement = (
        f"Width {net.width:,}: test accuracy at gamma = {FEW_PERCENT:g} % less that of the trained "
        "net, paired by seed, is below 0"
    )
    if not net.is_trained:
        return undecided(statement, "the net did not train")
    count = _count_at(net, "active", FEW_PERCENT)
    if not count:
        reason = f"{FEW_PERCENT:g} % is not among the fractions"
        return undecided(
            statement, reason if count is None else f"{FEW_PERCENT:g} % of the net is no parameter"
        )
    losses = (
        _accuracy_at(seed, "active", FEW_PERCENT) - _trained_accuracy(seed)
        for seed in reinit_results(net.point)
    )
    return judge_bounds(statement, summarize(losses), below=0.0)


def _low_point_is_early(net: Net) -> Finding:
    """Lowest accuracy near 1 to 10 %, less the lowest at any other fraction but 0.

    The first is read where the mean of the other seeds is lowest, so that the choice does not lower
    it. The second is the seed's own lowest, so that the bias of the choice works against the claim.
    """
    low, high = LOW_POINT_PERCENT
    statement = (
        f"Width {net.width:,}: the lowest test accuracy at gamma between {low:g} and {high:g} % "
        "less the lowest at any other gamma above 0 %, paired by seed, is below 0"
    )
    if not net.is_trained:
        return undecided(statement, "the net did not train")
    seeds = reinit_results(net.point)
    fractions = _fractions(seeds[0], "active")
    inside = [fraction for fraction in fractions if low <= fraction <= high]
    outside = [fraction for fraction in fractions if fraction > 0 and not low <= fraction <= high]
    if not inside or not outside or min(outside) > low or max(outside) < high:
        return undecided(statement, "the fractions do not cover both sides of it")
    lowest = _read_low_points(seeds, inside)
    others = [min(_accuracy_at(seed, "active", fraction) for fraction in outside) for seed in seeds]
    differences = (here - there for here, there in zip(lowest, others, strict=True))
    return judge_bounds(statement, summarize(differences), below=0.0)


def _find_rise(nets: Sequence[Net]) -> list[Finding]:
    """Claim 2, on the widest net."""
    net = nets[-1]
    if not _has_mode(nets, "active"):
        return []
    statement = (
        f"Width {net.width:,}: test accuracy of the random net (gamma = 100 %) less the lowest at "
        "gamma between 0 and 100 %, found in the other seeds' mean and paired by seed, is above 0"
    )
    if net.width < WIDE:
        return [undecided(statement, f"no net has a width of {WIDE:,} or more")]
    if not net.is_trained:
        return [undecided(statement, "the net did not train")]
    seeds = reinit_results(net.point)
    between = [fraction for fraction in _fractions(seeds[0], "active") if 0 < fraction < 100]
    if len(between) < 2:
        return [undecided(statement, "there are too few fractions between 0 and 100 %")]
    lowest = _read_low_points(seeds, between)
    rises = (_random_accuracy(seed) - low for seed, low in zip(seeds, lowest, strict=True))
    return [judge_bounds(statement, summarize(rises), above=0.0)]


def _find_recovery(nets: Sequence[Net]) -> list[Finding]:
    """Claim 4, on the widest net of one hidden layer."""
    net = nets[-1]
    if net.model.depth != 1 or not _has_mode(nets, "lazy"):
        return []
    statement = (
        f"Width {net.width:,}: test accuracy at epsilon = {TENTH_PERCENT:g} % less that of the "
        f"trained net, paired by seed, is above -{RECOVERY_MARGIN:g}"
    )
    if net.width < WIDE:
        return [undecided(statement, f"no net has a width of {WIDE:,} or more")]
    if not net.is_trained:
        return [undecided(statement, "the net did not train")]
    if _count_at(net, "lazy", TENTH_PERCENT) is None:
        return [undecided(statement, f"{TENTH_PERCENT:g} % is not among the fractions")]
    missing = (
        _accuracy_at(seed, "lazy", TENTH_PERCENT) - _trained_accuracy(seed)
        for seed in reinit_results(net.point)
    )
    return [judge_bounds(statement, summarize(missing), above=-RECOVERY_MARGIN)]


def _has_mode(nets: Sequence[Net], mode: Mode) -> bool:
    return any(curve.mode == mode for curve in reinit_results(nets[0].point)[0].curves)


def _fractions(seed: ReinitSeedResult, mode: Mode) -> tuple[float, ...]:
    return next((curve.fractions_percent for curve in seed.curves if curve.mode == mode), ())


def _count_at(net: Net, mode: Mode, percent: float) -> int | None:
    """How many parameters the fraction is; None where the curve does not hold it."""
    for curve in reinit_results(net.point)[0].curves:
        if curve.mode == mode and percent in curve.fractions_percent:
            return curve.counts[curve.fractions_percent.index(percent)]
    return None


def _accuracy_at(seed: ReinitSeedResult, mode: Mode, percent: float) -> float:
    """percent: one of the curve's fractions."""
    curve = next(curve for curve in seed.curves if curve.mode == mode)
    return curve.test_accuracy[curve.fractions_percent.index(percent)]


def _trained_accuracy(seed: ReinitSeedResult) -> float:
    """At the end of a curve that reaches it, else the test accuracy of the result."""
    return _read_end(seed, (("active", 0.0), ("lazy", 100.0)), seed.test_accuracy)


def _random_accuracy(seed: ReinitSeedResult) -> float:
    return _read_end(seed, (("active", 100.0), ("lazy", 0.0)), seed.initial_test_accuracy)


def _read_end(
    seed: ReinitSeedResult, ends: Sequence[tuple[Mode, float]], otherwise: float
) -> float:
    for mode, percent in ends:
        if percent in _fractions(seed, mode):
            return _accuracy_at(seed, mode, percent)
    return otherwise


def _read_low_points(seeds: Sequence[ReinitSeedResult], fractions: Sequence[float]) -> list[float]:
    """Each seed's accuracy at the one of `fractions` where the mean of the other seeds' active
    curves is lowest."""
    values = [[_accuracy_at(seed, "active", fraction) for fraction in fractions] for seed in seeds]
    found = []
    for left_out, own in enumerate(values):
        others = [curve for index, curve in enumerate(values) if index != left_out] or [own]
        means = [fmean(column) for column in zip(*others, strict=True)]
        found.append(own[means.index(min(means))])
    return found
