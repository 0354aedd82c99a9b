"""Claim 3, and what the claims on nets of different widths share (paper, Section 4).

The kinds that train ReLU-Nets over a range of widths judge with these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.analysis.stats import summarize
from engine.kind import FinishedPoint
from engine.models.spec import ReluNetSpec
from engine.paper.claims import get_claim
from engine.paper.deviations import list_deviations
from engine.paper.verdict import Finding, Verdict, conclude, judge_bounds, undecided
from engine.paper.width_figures import FASHION_WIDTH
from engine.result import SeedResult

WIDTH_CLAIM = 3
WIDE = 1_000
"""Smallest width that counts as wide. The paper draws wider nets still."""
WIDEST = {1: 100_000, 4: 5_000}
"""Largest width in the paper, by depth."""
NARROW = {"fashion_mnist": FASHION_WIDTH}
"""By data set, the width of the trained net that beats a wide random one, where it is not 10."""


@dataclass(frozen=True, slots=True)
class Net:
    """A point whose model is a ReLU-Net."""

    point: FinishedPoint
    model: ReluNetSpec

    @property
    def width(self) -> int:
        return self.model.width

    @property
    def is_trained(self) -> bool:
        return all(result.outcome == "trained" for result in self.point.results)


def group_by_width(points: Sequence[FinishedPoint]) -> list[list[Net]]:
    """Groups of ReLU-Nets with results that differ only in width; the narrowest net first."""
    groups: dict[str, list[Net]] = {}
    for point in points:
        if point.results and isinstance(point.spec.model, ReluNetSpec):
            key = point.spec.model_copy(
                update={"model": point.spec.model.model_copy(update={"width": 1})}
            )
            groups.setdefault(key.canonical_json(), []).append(Net(point, point.spec.model))
    return [sorted(nets, key=lambda net: net.width) for nets in groups.values()]


def conclude_on_nets(claim: int, findings: Sequence[Finding], nets: Sequence[Net]) -> Verdict:
    """The verdict on one group of `group_by_width`. findings: at least one."""
    return conclude(get_claim(claim), findings, _shared_values(nets), _list_deviations(nets, claim))


def find_width_effects(nets: Sequence[Net]) -> list[Finding]:
    """Claim 3: the narrow net of the paper against the widest net; empty for a single net."""
    if len(nets) < 2:
        return []
    narrow, wide = _narrow_net(nets), nets[-1]
    wider = (
        f"Random nets: test accuracy at width {wide.width:,} less that at {narrow.width:,}, "
        "paired by seed, is above 0"
    )
    trained = (
        f"Test accuracy of the trained net of width {narrow.width:,} less that of the random one "
        f"of {wide.width:,}, paired by seed, is above 0"
    )
    if wide.width < WIDE or narrow.width >= WIDE:
        reason = f"there is no net on each side of width {WIDE:,}"
        return [undecided(wider, reason), undecided(trained, reason)]
    differences = _pair(wide, narrow, lambda seed: seed.initial_test_accuracy)
    gains = _pair(narrow, wide, lambda seed: seed.test_accuracy)
    if not differences:
        reason = "the two nets have no seed in common"
        return [undecided(wider, reason), undecided(trained, reason)]
    first = judge_bounds(wider, summarize(differences), above=0.0)
    if not narrow.is_trained:
        return [first, undecided(trained, "the narrow net did not train")]
    return [first, judge_bounds(trained, summarize(gains), above=0.0)]


def _shared_values(nets: Sequence[Net]) -> dict[str, Any]:
    """The swept values that all nets have in common."""
    first = nets[0].point.values
    return {
        name: value
        for name, value in first.items()
        if all(net.point.values.get(name) == value for net in nets)
    }


def _list_deviations(nets: Sequence[Net], claim: int) -> tuple[str, ...]:
    """Deviations in the widths compared, then those in training."""
    found = []
    depth, widest = nets[-1].model.depth, nets[-1].width
    if depth not in WIDEST:
        found.append(f"depth {depth} instead of 1 or 4")
    elif widest < WIDEST[depth]:
        found.append(f"the widest net has width {widest:,} instead of {WIDEST[depth]:,}")
    narrow, wanted = _narrow_net(nets).width, _narrow_width(nets)
    if claim == WIDTH_CLAIM and narrow != wanted:
        found.append(f"the narrow net has width {narrow:,} instead of {wanted}")
    trained = list_deviations(
        (net.point.spec for net in nets), min(len(net.point.results) for net in nets)
    )
    return (*found, *trained)


def _narrow_width(nets: Sequence[Net]) -> int:
    return NARROW.get(nets[0].point.spec.data.name, 10)


def _narrow_net(nets: Sequence[Net]) -> Net:
    """The narrowest net that is at least as wide as the paper's narrow net; else the widest."""
    return next((net for net in nets if net.width >= _narrow_width(nets)), nets[-1])


def _pair(ours: Net, theirs: Net, value: Callable[[SeedResult], float]) -> list[float]:
    """`value` of our net minus the accuracy of their random net, for each seed of both."""
    by_seed = {result.seed: result for result in theirs.point.results}
    return [
        value(seed) - by_seed[seed.seed].initial_test_accuracy
        for seed in ours.point.results
        if seed.seed in by_seed
    ]
