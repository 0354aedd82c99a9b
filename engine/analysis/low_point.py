"""The lowest of some curve points against the lowest of others, whichever these are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, inf, sqrt
from statistics import fmean

from engine.analysis.stats import DIFFERENCE, NO_SPREAD, Bounds, decisive_interval
from engine.result import Statistic


@dataclass(frozen=True, slots=True)
class LowestDifference:
    """min over `inside` less min over `outside` of the expected values.

    Both hold a row a curve point and in it one value a seed, in the same order of seeds.
    """

    inside: Sequence[Sequence[float]]
    outside: Sequence[Sequence[float]]
    declared: Sequence[int] | None = None
    """Places in `inside`, named before any value is read, that the upper end is read at; None for
    all. Fewer make it lower, unless the lowest is elsewhere."""

    @property
    def value(self) -> float:
        """The difference of the lowest means."""
        return min(map(fmean, self.inside)) - min(map(fmean, self.outside))

    def interval(self, confidence: float) -> Bounds:
        """A simultaneous interval of the difference, from differences paired by seed.

        With i inside and j outside, the difference is the least over i of the greatest over j of
        d(i, j). The upper end is that of the t intervals' upper ends over the declared i, each at
        an error rate divided by their number; the lower end is the greatest over j of the least
        over i, divided by the number of j. Each end is wrong with a probability of at most
        (1 - confidence) / 2, whatever the dependence: a union bound over the points that are chosen
        among (Bonferroni), none over the others (Berger, Technometrics 24, 1982).
        """
        error = 1 - confidence
        places = range(len(self.inside)) if self.declared is None else self.declared
        candidates = [self.inside[place] for place in places]
        upper = min(
            max(_pair(one, other, 1 - error / len(candidates))[1] for other in self.outside)
            for one in candidates
        )
        lower = max(
            min(_pair(one, other, 1 - error / len(self.outside))[0] for one in self.inside)
            for other in self.outside
        )
        return max(lower, DIFFERENCE[0]), min(upper, DIFFERENCE[1])


def _pair(one: Sequence[float], other: Sequence[float], confidence: float) -> Bounds:
    """Of one difference. Without spread in few seeds its sign stays open, its size does not."""
    differences = [here - there for here, there in zip(one, other, strict=True)]
    count, mean = len(differences), fsum(differences) / len(differences)
    if count < 2:
        return -inf, inf
    squares = fsum((value - mean) ** 2 for value in differences)
    error = sqrt(squares / (count - 1) / count)
    found = Statistic.model_construct(mean=mean, standard_error=error, ci95=None, n=count)
    interval = decisive_interval(found, confidence)
    if interval is None:
        return min(found.mean, 0.0) - NO_SPREAD, max(found.mean, 0.0) + NO_SPREAD
    return interval
