"""Claim 3, and what the claims on nets of different widths share (paper, Section 4).

The kinds that train ReLU-Nets over a range of widths judge with these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.analysis.stats import CONFIDENCE, DIFFERENCE, summarize
from engine.kind import FinishedPoint
from engine.models.spec import ReluNetSpec, XavierSpec
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
class Start:
    """What claims 2 and 3 call the random net."""

    name: str
    plural: str
    accuracy: Callable[[SeedResult], float | None]
    """Of a seed's; None where it was not measured"""
    is_drawn: bool
    """Whether its weights are a draw of the initialisation, untouched by training"""

    def argue(self, cannot: str, nets: Sequence[Net]) -> str | None:
        """`cannot` and the argument for it; None where the argument does not apply.

        The output units of a net drawn as by Xavier are exchangeable: their weights are drawn alike
        and independently, their biases are zero. So for any image each class is as likely as any
        other to be the largest.
        """
        specs = [net.point.spec for net in nets]
        if not self.is_drawn or not all(
            isinstance(spec.init, XavierSpec) and spec.output_scale is None for spec in specs
        ):
            return None
        return (
            f"{cannot}, because the output units of a random net are exchangeable, so that its "
            "expected accuracy is 1 / (number of classes) at every width, depth and gain"
        )


RANDOM_START = Start("random net", "Random nets", lambda seed: seed.initial_test_accuracy, True)


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


def conclude_on_nets(
    claim: int,
    measurements: Sequence[Measurement],
    nets: Sequence[Net],
    confidence: float = CONFIDENCE,
) -> Verdict:
    """The verdict on one group of `group_by_width`. measurements: at least one."""
    return conclude(
        get_claim(claim),
        measurements,
        Subject(
            specs=[net.point.spec for net in nets],
            num_seeds=min(len(net.point.results) for net in nets),
            values=shared_values([net.point for net in nets]),
            departures=_list_departures(nets, claim),
        ),
        confidence,
    )


def measure_width_effects(nets: Sequence[Net], start: Start = RANDOM_START) -> list[Measurement]:
    """Claim 3: the narrow net of the paper against the widest net; empty for a single net.

    start: what the claim calls the random net.
    """
    if len(nets) < 2:
        return []
    narrow, wide = _narrow_net(nets), nets[-1]
    wider = (
        f"{start.plural}: test accuracy at width {wide.width:,} less that at {narrow.width:,}, "
        "paired by seed, is above 0"
    )
    trained = (
        f"Test accuracy of the trained net of width {narrow.width:,} less that of the "
        f"{start.name} of {wide.width:,}, paired by seed, is above 0"
    )
    theory = start.argue("wider random nets cannot be better than narrow ones", nets)
    if wide.width < WIDE or narrow.width >= WIDE:
        reason = f"there is no net on each side of width {WIDE:,}"
        return [unmeasured(wider, reason, theory), unmeasured(trained, reason)]
    differences = _pair(wide, narrow, start.accuracy, start.accuracy)
    gains = _pair(narrow, wide, lambda seed: seed.test_accuracy, start.accuracy)
    if not differences:
        reason = f"no seed has the accuracy of the {start.name} in both"
        return [unmeasured(wider, reason, theory), unmeasured(trained, reason)]
    what = f"{start.plural} of width {wide.width:,} are {{}}"
    first = Measurement(
        wider,
        summarize(differences, DIFFERENCE),
        Wording(
            f"{what} better than those of width {narrow.width:,}",
            f"{what} worse than those of width {narrow.width:,}",
        ),
        above=0.0,
        bounds=DIFFERENCE,
        theory=theory,
    )
    if not narrow.is_trained:
        return [first, unmeasured(trained, "the narrow net did not train")]
    what = f"The trained net of width {narrow.width:,} is {{}}"
    wording = Wording(
        f"{what} better than the {start.name} of width {wide.width:,}",
        f"{what} worse than the {start.name} of width {wide.width:,}",
    )
    gain = summarize(gains, DIFFERENCE)
    return [first, Measurement(trained, gain, wording, above=0.0, bounds=DIFFERENCE)]


def _list_departures(nets: Sequence[Net], claim: int) -> tuple[str, ...]:
    """Departures in the widths compared."""
    found = []
    depth, widest = nets[-1].model.depth, nets[-1].width
    if depth in WIDEST and widest < WIDEST[depth]:
        found.append(f"the widest net has width {widest:,} instead of {WIDEST[depth]:,}")
    narrow, wanted = _narrow_net(nets).width, _narrow_width(nets)
    if claim == WIDTH_CLAIM and narrow != wanted:
        found.append(f"the narrow net has width {narrow:,} instead of {wanted}")
    return tuple(found)


def _narrow_width(nets: Sequence[Net]) -> int:
    return NARROW.get(nets[0].point.spec.data.name, 10)


def _narrow_net(nets: Sequence[Net]) -> Net:
    """The narrowest net that is at least as wide as the paper's narrow net; else the widest."""
    return next((net for net in nets if net.width >= _narrow_width(nets)), nets[-1])


def _pair(
    ours: Net,
    theirs: Net,
    our_accuracy: Callable[[SeedResult], float | None],
    their_accuracy: Callable[[SeedResult], float | None],
) -> list[float]:
    """Our accuracy less theirs, for each seed that has both."""
    by_seed = {result.seed: their_accuracy(result) for result in theirs.point.results}
    pairs = [(our_accuracy(result), by_seed.get(result.seed)) for result in ours.point.results]
    return [one - other for one, other in pairs if one is not None and other is not None]
