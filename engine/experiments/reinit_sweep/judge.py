"""Claims 1 to 4: re-initialised active and lazy parameters, and width (paper, Section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import log

from engine.analysis.low_point import LowestDifference
from engine.analysis.stats import CONFIDENCE, DIFFERENCE, summarize
from engine.experiments.reinit_sweep.result import CurveMode, ReinitSeedResult, reinit_results
from engine.experiments.reinit_sweep.spec import ReinitSweepSpec
from engine.kind import FinishedPoint
from engine.paper.claims import get_claim
from engine.paper.sentences import Wording
from engine.paper.verdict import Measurement, Role, Verdict, unmeasured
from engine.paper.width_claim import (
    WIDE,
    WIDTH_CLAIM,
    Net,
    Start,
    conclude_on_nets,
    group_by_width,
    measure_width_effects,
)
from engine.result import PointResult, SeedResult, Statistic

FEW_PERCENT = 0.1
CONTROL_PERCENTS = (0.1, 1.0, 10.0)
"""Where the active curve is compared with the random control: the fractions that claim 1 names"""
DECLARED_PERCENTS = (1.0, 3.0, 10.0)
"""Where a low point is read: the paper says "1-10%", and "around 10%" of most nets"""
LOW_POINT_PERCENT = (0.5, 20.0)
"""The paper says "near 1 to 10 %"; near allows a factor of two."""
FAR_PERCENT = (0.1, 50.0)
"""The fractions that the paper compares the low point with (Section 1): the fall is seen "even" at
0.1 %, and accuracy has risen again at, "say 50%"."""
TENTH_PERCENT = 10.0
RECOVERY_MARGIN = 0.02
"""Largest loss at which the trained accuracy counts as recovered: the paper calls at most 2 points
little (Section 6.1)."""


def judge(
    points: Sequence[FinishedPoint],
    summary: Sequence[PointResult],
    confidence: float = CONFIDENCE,
) -> list[Verdict]:
    """A verdict on claims 1 to 4 for every group of ReLU-Nets that differ only in width.

    What is compared is fixed before any accuracy is read: the widest net, fixed fractions. Where a
    claim is about a low point, the interval pays for the fractions that it is chosen from.
    """
    verdicts = []
    for nets in group_by_width(points):
        for claim, measure in (
            (1, _measure_loss),
            (2, _measure_rise),
            (WIDTH_CLAIM, _measure_width),
            (4, _measure_recovery),
        ):
            measurements = measure(nets)
            why_not = _explain_other(nets[0], claim)
            if measurements and why_not:
                measurements = [unmeasured(get_claim(claim).title, why_not)]
            if measurements:
                verdicts.append(conclude_on_nets(claim, measurements, nets, confidence))
    return verdicts


def _explain_other(net: Net, claim: int) -> str | None:
    """Why the curves are not those that the claim is about; None where they are."""
    spec = net.point.spec
    assert isinstance(spec, ReinitSweepSpec)
    if spec.scope_layers:
        return (
            f"only parameters of {', '.join(spec.scope_layers)} were reset, and the claim is about "
            "those of the whole net"
        )
    if claim != WIDTH_CLAIM and spec.criterion != "movement":
        return (
            f"the parameters were ranked by {spec.criterion}, and the claim is about those that "
            "moved most"
        )
    return None


def describe_start(net: Net) -> Start:
    """What the net is reset to: the end of a curve with every parameter reset."""
    spec = net.point.spec
    assert isinstance(spec, ReinitSweepSpec)
    name, plural = {
        "init": ("random net", "Random nets"),
        "epoch": ("net after epoch {epoch}", "Nets after epoch {epoch}"),
        "step": ("net after step {step}", "Nets after step {step}"),
        "fresh": ("freshly drawn net", "Freshly drawn nets"),
        "zero": ("net of zeros", "Nets of zeros"),
    }[spec.reset_to.name]
    fields = spec.reset_to.model_dump()
    is_initial = spec.reset_to.name == "init"

    def accuracy(seed: SeedResult) -> float | None:
        assert isinstance(seed, ReinitSeedResult)
        ends: Sequence[tuple[CurveMode, float]] = (("active", 100.0), ("lazy", 0.0))
        return _read_end(seed, ends, seed.initial_test_accuracy if is_initial else None)

    return Start(
        name.format(**fields),
        plural.format(**fields),
        accuracy,
        is_drawn=spec.reset_to.name in ("init", "fresh"),
    )


def _measure_width(nets: Sequence[Net]) -> list[Measurement]:
    """Claim 3, with the net reset to as the random net."""
    return measure_width_effects(nets, describe_start(nets[-1]))


def _measure_loss(nets: Sequence[Net]) -> list[Measurement]:
    """Claim 1: at every width, as the paper names none, the widest first; the low point at the
    widest net alone. Beside the claim stand the low points of the other nets, and the control."""
    if not _has_mode(nets, "active"):
        return []
    widest_first = nets[::-1]
    return [
        *(_few_hurt(net) for net in widest_first),
        *_low_point_is_early(nets[-1]),
        *(_stand_beside(_low_point_is_early(net)[0]) for net in _others(nets)),
        *(one for net in widest_first for one in _compare_with_control(net)),
    ]


def _others(nets: Sequence[Net]) -> Sequence[Net]:
    """All but the widest, on which claims about wide nets are decided; wider ones first."""
    return nets[-2::-1]


def _stand_beside(measurement: Measurement) -> Measurement:
    return replace(measurement, role="beside")


def _compare_with_control(net: Net) -> Iterator[Measurement]:
    """Whether the active parameters matter more than as many drawn at random.

    At fixed fractions; nothing where the training has no mode `random`.
    """
    seeds = reinit_results(net.point)
    if not net.is_trained:
        return
    for percent in CONTROL_PERCENTS:
        if not (_count_at(net, "active", percent) and _count_at(net, "random", percent)):
            continue
        differences = (
            _accuracy_at(seed, "active", percent) - _accuracy_at(seed, "random", percent)
            for seed in seeds
        )
        what = f"At width {net.width:,}, resetting the {percent:g} % most active parameters leaves"
        yield Measurement(
            f"Width {net.width:,}: test accuracy at gamma = {percent:g} % less that with as many "
            "parameters reset at random, paired by seed, is below 0",
            summarize(differences, DIFFERENCE),
            Wording(
                f"{what} {{}} more test accuracy than resetting as many at random",
                f"{what} {{}} less test accuracy than resetting as many at random",
            ),
            below=0.0,
            bounds=DIFFERENCE,
            role="beside",
        )


def _few_hurt(net: Net) -> Measurement:
    statement = (
        f"Width {net.width:,}: test accuracy at gamma = {FEW_PERCENT:g} % less that of the trained "
        "net, paired by seed, is below 0"
    )
    if not net.is_trained:
        return unmeasured(statement, "the net did not train")
    count = _count_at(net, "active", FEW_PERCENT)
    if not count:
        reason = f"{FEW_PERCENT:g} % is not among the fractions"
        return unmeasured(
            statement, reason if count is None else f"{FEW_PERCENT:g} % of the net is no parameter"
        )
    losses = (
        _accuracy_at(seed, "active", FEW_PERCENT) - _trained_accuracy(seed)
        for seed in reinit_results(net.point)
    )
    what = f"At width {net.width:,}, resetting the {FEW_PERCENT:g} % most active parameters"
    wording = Wording(
        f"{what} raises test accuracy by {{}}", f"{what} lowers test accuracy by {{}}"
    )
    return Measurement(
        statement, summarize(losses, DIFFERENCE), wording, below=0.0, bounds=DIFFERENCE
    )


def _low_point_is_early(net: Net) -> list[Measurement]:
    """The low point near 1 to 10 %: below the curve far from there, and nowhere else."""
    low, high = LOW_POINT_PERCENT
    little, much = FAR_PERCENT
    at = f"the lowest test accuracy at gamma between {low:g} and {high:g} %"
    below_far = (
        f"Width {net.width:,}: {at} less the lowest at gamma up to {little:g} % or from {much:g} % "
        "on, paired by seed, is below 0"
    )
    nowhere_else = (
        f"Width {net.width:,}: {at} less the lowest at any other gamma above 0 %, paired by seed, "
        "is not above 0"
    )
    if not net.is_trained:
        return [unmeasured(below_far, "the net did not train")]
    fractions = [one for one in _fractions(reinit_results(net.point)[0], "active") if one > 0]
    inside = [one for one in fractions if low <= one <= high]
    outside = [one for one in fractions if one not in inside]
    far = [one for one in fractions if one <= little or one >= much]
    if not inside or not far or min(far) > little or max(far) < much:
        return [unmeasured(below_far, "the fractions do not cover both sides of it")]
    what = (
        f"At width {net.width:,}, the lowest test accuracy near 1 to 10 % of the most active "
        "parameters reset is {}"
    )
    return [
        _compare_lowest(
            below_far,
            net,
            inside,
            far,
            Wording(
                f"{what} above the lowest far from there",
                f"{what} below the lowest far from there",
            ),
        ),
        _compare_lowest(
            nowhere_else,
            net,
            inside,
            outside,
            Wording(f"{what} above the lowest elsewhere", f"{what} below the lowest elsewhere"),
            role="guard",
        ),
    ]


def _measure_rise(nets: Sequence[Net]) -> list[Measurement]:
    """Claim 2, on the widest net; beside it stand the other nets, unless theory decides."""
    if not _has_mode(nets, "active"):
        return []
    widest = _rise_at(nets[-1], must_be_wide=True)
    if widest.theory is not None:
        return [widest]
    return [widest, *(_stand_beside(_rise_at(net)) for net in _others(nets))]


def _rise_at(net: Net, must_be_wide: bool = False) -> Measurement:
    start = describe_start(net)
    theory = start.argue("accuracy cannot rise to a random net that is better than chance", [net])
    statement = (
        f"Width {net.width:,}: the lowest test accuracy at gamma between 0 and 100 % less that of "
        f"the {start.name} (gamma = 100 %), paired by seed, is below 0"
    )
    if must_be_wide and net.width < WIDE:
        return unmeasured(statement, f"no net has a width of {WIDE:,} or more", theory)
    if not net.is_trained:
        return unmeasured(statement, "the net did not train", theory)
    fractions = _fractions(reinit_results(net.point)[0], "active")
    between = [fraction for fraction in fractions if 0 < fraction < 100]
    if not between or 100.0 not in fractions:
        return unmeasured(statement, "the fractions do not include 100 % and some below", theory)
    what = f"At width {net.width:,}, test accuracy"
    end = f"by {{}} from its low point to the {start.name} (gamma = 100 %)"
    wording = Wording(f"{what} falls {end}", f"{what} rises {end}")
    return _compare_lowest(statement, net, between, [100.0], wording, theory)


def _compare_lowest(
    statement: str,
    net: Net,
    inside: Sequence[float],
    outside: Sequence[float],
    wording: Wording,
    theory: str | None = None,
    role: Role = "part",
) -> Measurement:
    """Of the active curve: the lowest accuracy inside, less the lowest outside, is below 0."""
    seeds = reinit_results(net.point)

    def rows(fractions: Sequence[float]) -> list[list[float]]:
        return [[_accuracy_at(seed, "active", one) for seed in seeds] for one in fractions]

    declared = {
        min(range(len(inside)), key=lambda place: abs(log(inside[place] / percent)))
        for percent in DECLARED_PERCENTS
    }
    difference = LowestDifference(rows(inside), rows(outside), sorted(declared))
    return Measurement(
        statement,
        Statistic(mean=difference.value, standard_error=None, ci95=None, n=len(seeds)),
        wording,
        below=0.0,
        bounds=DIFFERENCE,
        theory=theory,
        role=role,
        interval=difference.interval,
    )


def _measure_recovery(nets: Sequence[Net]) -> list[Measurement]:
    """Claim 4, on the widest net of one hidden layer; beside it stand the other nets."""
    if nets[-1].model.depth != 1 or not _has_mode(nets, "lazy"):
        return []
    others = (_stand_beside(_recovery_at(net)) for net in _others(nets))
    return [_recovery_at(nets[-1], must_be_wide=True), *others]


def _recovery_at(net: Net, must_be_wide: bool = False) -> Measurement:
    statement = (
        f"Width {net.width:,}: test accuracy at epsilon = {TENTH_PERCENT:g} % less that of the "
        f"trained net, paired by seed, is above -{RECOVERY_MARGIN:g}"
    )
    if must_be_wide and net.width < WIDE:
        return unmeasured(statement, f"no net has a width of {WIDE:,} or more")
    if not net.is_trained:
        return unmeasured(statement, "the net did not train")
    if _count_at(net, "lazy", TENTH_PERCENT) is None:
        return unmeasured(statement, f"{TENTH_PERCENT:g} % is not among the fractions")
    missing = (
        _accuracy_at(seed, "lazy", TENTH_PERCENT) - _trained_accuracy(seed)
        for seed in reinit_results(net.point)
    )
    what = (
        f"At width {net.width:,}, the net that keeps {TENTH_PERCENT:g} % of its parameters at "
        "their trained values is {}"
    )
    return Measurement(
        statement,
        summarize(missing, DIFFERENCE),
        Wording(
            f"{what} more accurate than the trained net",
            f"{what} less accurate than the trained net",
        ),
        above=-RECOVERY_MARGIN,
        bounds=DIFFERENCE,
    )


def _has_mode(nets: Sequence[Net], mode: CurveMode) -> bool:
    return any(curve.mode == mode for curve in reinit_results(nets[0].point)[0].curves)


def _fractions(seed: ReinitSeedResult, mode: CurveMode) -> tuple[float, ...]:
    return next((curve.fractions_percent for curve in seed.curves if curve.mode == mode), ())


def _count_at(net: Net, mode: CurveMode, percent: float) -> int | None:
    """How many parameters the fraction is; None where the curve does not hold it."""
    for curve in reinit_results(net.point)[0].curves:
        if curve.mode == mode and percent in curve.fractions_percent:
            return curve.counts[curve.fractions_percent.index(percent)]
    return None


def _accuracy_at(seed: ReinitSeedResult, mode: CurveMode, percent: float) -> float:
    """percent: one of the curve's fractions."""
    curve = next(curve for curve in seed.curves if curve.mode == mode)
    return curve.test_accuracy[curve.fractions_percent.index(percent)]


def _trained_accuracy(seed: ReinitSeedResult) -> float:
    """At the end of a curve that reaches it, else the test accuracy of the result."""
    found = _read_end(seed, (("active", 0.0), ("lazy", 100.0)), None)
    return seed.test_accuracy if found is None else found


def _read_end(
    seed: ReinitSeedResult, ends: Sequence[tuple[CurveMode, float]], otherwise: float | None
) -> float | None:
    for mode, percent in ends:
        if percent in _fractions(seed, mode):
            return _accuracy_at(seed, mode, percent)
    return otherwise
