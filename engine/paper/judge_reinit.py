"""Claims 1 to 4: what re-initialising active and lazy parameters costs, and what width gives (paper, Section 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from engine.analysis.fractions import Mode
from engine.analysis.stats import summarize
from engine.experiments.reinit_sweep.result import ReinitSeedResult
from engine.kind import FinishedPoint
from engine.models.spec import ReluNetSpec
from engine.paper.claims import get_claim
from engine.paper.deviations import list_deviations
from engine.paper.verdict import Finding, Verdict, conclude, judge_bounds, undecided
from engine.paper.width_figures import FASHION_WIDTH
from engine.result import PointResult, SeedResult

FEW_PERCENT = 0.1
LOW_POINT_PERCENT = (0.5, 20.0)
"""Near 1 to 10 %, with a factor of two for near."""
TENTH_PERCENT = 10.0
RECOVERY_MARGIN = 0.02
"""The trained accuracy is recovered where less is missing: the paper calls at most 2 points little (Section 6.1)."""
WIDE = 1_000
"""From this width on a net speaks to what the paper says of wide ones, though it drew ever wider ones."""
WIDEST = {1: 100_000, 4: 5_000}
"""Of the paper, by depth."""
NARROW = {"fashion_mnist": FASHION_WIDTH}
"""Width of the trained net that beats a wide random one, where it is not 10."""


@dataclass(frozen=True, slots=True)
class _Net:
    """A point whose model is a ReLU-Net."""

    point: FinishedPoint
    model: ReluNetSpec

    @property
    def width(self) -> int:
        return self.model.width

    @property
    def is_trained(self) -> bool:
        return all(result.outcome == "trained" for result in self.point.results)

    def swept(self) -> list[ReinitSeedResult]:
        """Empty for the kind `train`."""
        return [result for result in self.point.results if isinstance(result, ReinitSeedResult)]


def judge_reinit(points: Sequence[FinishedPoint], summary: Sequence[PointResult]) -> list[Verdict]:
    """A verdict on claims 1 to 4 for every group of ReLU-Nets that differ in nothing but the width.

    Points may be those of `reinit_sweep`, or of `train`, which speak to claim 3 alone. What is compared is chosen
    before looking at any accuracy (the widest net, fixed fractions); a low point, which must be looked for, is looked
    for in the other seeds' curves.
    """
    verdicts = []
    for nets in _group_points(points):
        for number, find in (
            (1, _find_loss),
            (2, _find_rise),
            (3, _find_width),
            (4, _find_recovery),
        ):
            findings = find(nets)
            if findings:
                deviations = _deviations(nets, number)
                verdicts.append(
                    conclude(get_claim(number), findings, _shared_values(nets), deviations)
                )
    return verdicts


def _group_points(points: Sequence[FinishedPoint]) -> list[list[_Net]]:
    """By everything but the width; the narrowest net first."""
    groups: dict[str, list[_Net]] = {}
    for point in points:
        if point.results and isinstance(point.spec.model, ReluNetSpec):
            key = point.spec.model_copy(
                update={"model": point.spec.model.model_copy(update={"width": 1})}
            )
            groups.setdefault(key.canonical_json(), []).append(_Net(point, point.spec.model))
    return [sorted(nets, key=lambda net: net.width) for nets in groups.values()]


def _shared_values(nets: Sequence[_Net]) -> dict[str, Any]:
    """The swept values that all of them have."""
    first = nets[0].point.values
    return {
        name: value
        for name, value in first.items()
        if all(net.point.values.get(name) == value for net in nets)
    }


def _deviations(nets: Sequence[_Net], claim: int) -> tuple[str, ...]:
    """Those of the widths that the claim is about, then those of the training."""
    found = []
    depth, widest = nets[-1].model.depth, nets[-1].width
    if depth not in WIDEST:
        found.append(f"depth {depth} instead of 1 or 4")
    elif widest < WIDEST[depth]:
        found.append(f"the widest net has width {widest:,} instead of {WIDEST[depth]:,}")
    narrow, wanted = _narrow_net(nets).width, _narrow_width(nets)
    if claim == 3 and narrow != wanted:
        found.append(f"the narrow net has width {narrow:,} instead of {wanted}")
    trained = list_deviations(
        (net.point.spec for net in nets), min(len(net.point.results) for net in nets)
    )
    return (*found, *trained)


def _narrow_width(nets: Sequence[_Net]) -> int:
    return NARROW.get(nets[0].point.spec.data.name, 10)


def _narrow_net(nets: Sequence[_Net]) -> _Net:
    """The narrowest that is not narrower than the one the paper speaks of."""
    return next((net for net in nets if net.width >= _narrow_width(nets)), nets[-1])


def _find_loss(nets: Sequence[_Net]) -> list[Finding]:
    """Claim 1: at every width, for the paper names none; the low point of the widest net, whose curve has one."""
    if not _sweeps(nets, "active"):
        return []
    return [*(_few_hurt(net) for net in nets), _low_point_is_early(nets[-1])]


def _few_hurt(net: _Net) -> Finding:
    statement = (
        f"Width {net.width:,}: test accuracy at gamma = {FEW_PERCENT:g} % less that of the trained net, "
        "paired by seed, is below 0"
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
        _accuracy_at(seed, "active", FEW_PERCENT) - _trained_accuracy(seed) for seed in net.swept()
    )
    return judge_bounds(statement, summarize(losses), below=0.0)


def _low_point_is_early(net: _Net) -> Finding:
    """Lowest accuracy near 1 to 10 %, less the lowest at any other fraction but 0.

    The first is read where the other seeds' mean is lowest, so that it is not lowered by choosing; the second is the
    seed's own lowest, so that whatever is gained by choosing speaks against the claim.
    """
    low, high = LOW_POINT_PERCENT
    statement = (
        f"Width {net.width:,}: the lowest test accuracy at gamma between {low:g} and {high:g} % less the lowest at any "
        "other gamma above 0 %, paired by seed, is below 0"
    )
    if not net.is_trained:
        return undecided(statement, "the net did not train")
    seeds = net.swept()
    fractions = _fractions(seeds[0], "active")
    inside = [fraction for fraction in fractions if low <= fraction <= high]
    outside = [fraction for fraction in fractions if fraction > 0 and not low <= fraction <= high]
    if not inside or not outside or min(outside) > low or max(outside) < high:
        return undecided(statement, "the fractions do not cover both sides of it")
    lowest = _read_low_points(seeds, inside)
    others = [min(_accuracy_at(seed, "active", fraction) for fraction in outside) for seed in seeds]
    differences = (here - there for here, there in zip(lowest, others, strict=True))
    return judge_bounds(statement, summarize(differences), below=0.0)


def _find_rise(nets: Sequence[_Net]) -> list[Finding]:
    """Claim 2, on the widest net."""
    net = nets[-1]
    if not _sweeps(nets, "active"):
        return []
    statement = (
        f"Width {net.width:,}: test accuracy of the random net (gamma = 100 %) less the lowest at gamma between 0 and "
        "100 %, found in the other seeds' mean and paired by seed, is above 0"
    )
    if net.width < WIDE:
        return [undecided(statement, f"no net has a width of {WIDE:,} or more")]
    if not net.is_trained:
        return [undecided(statement, "the net did not train")]
    seeds = net.swept()
    between = [fraction for fraction in _fractions(seeds[0], "active") if 0 < fraction < 100]
    if len(between) < 2:
        return [undecided(statement, "there are too few fractions between 0 and 100 %")]
    lowest = _read_low_points(seeds, between)
    rises = (_random_accuracy(seed) - low for seed, low in zip(seeds, lowest, strict=True))
    return [judge_bounds(statement, summarize(rises), above=0.0)]


def _find_width(nets: Sequence[_Net]) -> list[Finding]:
    """Claim 3, on the narrowest that the paper speaks of and the widest; empty where one width stands alone."""
    if len(nets) < 2:
        return []
    narrow, wide = _narrow_net(nets), nets[-1]
    wider = f"Random nets: test accuracy at width {wide.width:,} less that at {narrow.width:,}, paired by seed, is above 0"
    trained = (
        f"Test accuracy of the trained net of width {narrow.width:,} less that of the random one of {wide.width:,}, "
        "paired by seed, is above 0"
    )
    if wide.width < WIDE or narrow.width >= WIDE:
        reason = f"there is no net on each side of width {WIDE:,}"
        return [undecided(wider, reason), undecided(trained, reason)]
    differences = _pair(
        wide,
        narrow,
        lambda seed: seed.initial_test_accuracy,
        lambda seed: seed.initial_test_accuracy,
    )
    gains = _pair(
        narrow, wide, lambda seed: seed.test_accuracy, lambda seed: seed.initial_test_accuracy
    )
    if not differences:
        reason = "the two nets have no seed in common"
        return [undecided(wider, reason), undecided(trained, reason)]
    first = judge_bounds(wider, summarize(differences), above=0.0)
    if not narrow.is_trained:
        return [first, undecided(trained, "the narrow net did not train")]
    return [first, judge_bounds(trained, summarize(gains), above=0.0)]


def _find_recovery(nets: Sequence[_Net]) -> list[Finding]:
    """Claim 4, on the widest net of one hidden layer."""
    net = nets[-1]
    if net.model.depth != 1 or not _sweeps(nets, "lazy"):
        return []
    statement = (
        f"Width {net.width:,}: test accuracy at epsilon = {TENTH_PERCENT:g} % less that of the trained net, paired by "
        f"seed, is above -{RECOVERY_MARGIN:g}"
    )
    if net.width < WIDE:
        return [undecided(statement, f"no net has a width of {WIDE:,} or more")]
    if not net.is_trained:
        return [undecided(statement, "the net did not train")]
    if _count_at(net, "lazy", TENTH_PERCENT) is None:
        return [undecided(statement, f"{TENTH_PERCENT:g} % is not among the fractions")]
    missing = (
        _accuracy_at(seed, "lazy", TENTH_PERCENT) - _trained_accuracy(seed) for seed in net.swept()
    )
    return [judge_bounds(statement, summarize(missing), above=-RECOVERY_MARGIN)]


def _sweeps(nets: Sequence[_Net], mode: Mode) -> bool:
    """Whether these are points of `reinit_sweep`, in this mode."""
    swept = nets[0].swept()
    return bool(swept) and any(curve.mode == mode for curve in swept[0].curves)


def _fractions(seed: ReinitSeedResult, mode: Mode) -> tuple[float, ...]:
    return next((curve.fractions_percent for curve in seed.curves if curve.mode == mode), ())


def _count_at(net: _Net, mode: Mode, percent: float) -> int | None:
    """How many parameters the fraction is; None where it was not asked for."""
    for curve in net.swept()[0].curves:
        if curve.mode == mode and percent in curve.fractions_percent:
            return curve.counts[curve.fractions_percent.index(percent)]
    return None


def _accuracy_at(seed: ReinitSeedResult, mode: Mode, percent: float) -> float:
    """percent: one of the curve's fractions."""
    curve = next(curve for curve in seed.curves if curve.mode == mode)
    return curve.test_accuracy[curve.fractions_percent.index(percent)]


def _trained_accuracy(seed: ReinitSeedResult) -> float:
    """At an end of a curve where one reaches it."""
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
    """Each seed's accuracy at that of `fractions` where the mean of the other seeds' active curves is lowest."""
    values = [[_accuracy_at(seed, "active", fraction) for fraction in fractions] for seed in seeds]
    found = []
    for left_out, own in enumerate(values):
        others = [curve for index, curve in enumerate(values) if index != left_out] or [own]
        means = [fmean(column) for column in zip(*others, strict=True)]
        found.append(own[means.index(min(means))])
    return found


def _pair(
    ours: _Net,
    theirs: _Net,
    value: Callable[[SeedResult], float],
    base: Callable[[SeedResult], float],
) -> list[float]:
    """Differences over the seeds that both nets have."""
    by_seed = {result.seed: result for result in theirs.point.results}
    return [
        value(seed) - base(by_seed[seed.seed])
        for seed in ours.point.results
        if seed.seed in by_seed
    ]
