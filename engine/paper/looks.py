"""Looks at the verdicts of an experiment that adds seeds until they are decided.

Every look is one more chance to decide wrongly, so each pays an equal part of the 5 %: with K
planned looks, each uses intervals of confidence 1 - 0.05 / K. The numbers of seeds at the looks are
fixed beforehand, so each interval alone keeps its confidence, and by Bonferroni's inequality the
probability that any of the K leaves out the true value is at most 5 %, although the looks share
seeds and the experiment ends at the first look that decides (O. J. Dunn, "Multiple comparisons
among means", JASA 56, 1961). The boundaries of K. K. G. Lan and D. L. DeMets (Biometrika 70, 1983)
would be a little narrower, but they are those of a normal statistic of known variance; five seeds
give Student's t with 4 degrees of freedom.

The price is per verdict: it pays for the looks, not for the number of claims.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.own_claims.judge import OwnVerdict
from engine.paper.verdict import Verdict

ERROR_RATE = 0.05
"""Of all looks together."""


def count_looks(first: int, step: int, at_most: int) -> int:
    """K: the looks with `first` seeds, then after every `step` more, the last with `at_most`."""
    return 1 - (first - at_most) // step


def confidence_of_look(num_looks: int) -> float:
    """The confidence of the intervals at each of so many planned looks."""
    return 1 - ERROR_RATE / num_looks


@dataclass(frozen=True, slots=True)
class LookOutcome:
    """What one look found."""

    decided: bool
    """Every verdict is decided, and there is at least one."""
    is_open: bool
    """More seeds may decide a verdict that is inconclusive."""


def read_look(verdicts: Iterable[Verdict], own_verdicts: Iterable[OwnVerdict] = ()) -> LookOutcome:
    """What the verdicts of a look, on the paper's claims and its own, mean for the next one."""
    found: list[Verdict | OwnVerdict] = [*verdicts, *own_verdicts]
    undecided = [verdict for verdict in found if verdict.verdict == "inconclusive"]
    return LookOutcome(bool(found) and not undecided, any(map(_may_be_decided, undecided)))


def _may_be_decided(verdict: Verdict | OwnVerdict) -> bool:
    """Whether an undecided part of the claim has a value: without one, no number of seeds helps."""
    if isinstance(verdict, OwnVerdict):
        return verdict.value is not None
    return any(
        finding.role == "part" and finding.verdict == "inconclusive" and finding.value is not None
        for finding in verdict.findings
    )
