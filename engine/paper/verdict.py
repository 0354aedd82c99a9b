"""From statistics to a verdict; a claim is reproduced only where intervals support it.

A claim is a statement about one or more quantities that holds only if every part holds. `conclude`
keeps two error rates, each at most (1 - confidence) / 2: a claim of which some part is false is
called reproduced, a claim that is true is called not reproduced.

- Reproduced: every interval at the confidence lies within its bounds. As all must, no part needs a
  wider interval: intersection-union test (Berger, Technometrics 24, 1982).
- Not reproduced: some interval lies outside its bounds. As one is enough, the intervals of m parts
  are wider: the confidence is 1 - (1 - confidence) / m (Bonferroni).

A claim can also be that its parts hold in some case of several, which `conclude_any` judges: it is
reproduced where one case is at a confidence that pays for their number (Bonferroni), and not
reproduced where every case is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

from engine.analysis.stats import (
    CONFIDENCE,
    MIN_SEEDS,
    NO_SPREAD,
    UNBOUNDED,
    Bounds,
    decisive_interval,
)
from engine.kind import FinishedPoint
from engine.paper.claims import PaperClaim
from engine.paper.departures import is_paper_scale, list_departures
from engine.paper.readings import find_reading
from engine.paper.sentences import Wording, tell
from engine.result import ResultModel, Statistic
from engine.spec import ExperimentSpec

VerdictName = Literal["reproduced", "not reproduced", "inconclusive"]
DecidedBy = Literal["measurement", "theory"]
Role = Literal["part", "guard", "beside"]
_ORDER: tuple[VerdictName, ...] = ("not reproduced", "inconclusive", "reproduced")


class Finding(ResultModel):
    """One quantity compared with bounds."""

    statement: str
    """What was measured, and what the claim says about it."""
    verdict: VerdictName
    value: float | None
    interval: tuple[float, float] | None
    """Over seeds, at the verdict's confidence; null with one seed or without spread."""
    n: int
    reason: str
    decided_by: DecidedBy
    """`theory`: an argument decides, whatever was measured."""
    role: Role
    """`part` of the claim; `guard`, which can refute it but not support it; or `beside` it, e.g. a
    control."""


class Verdict(ResultModel):
    """One claim judged on one experiment, or on one group of its points.

    Points are grouped by the swept values that the claim is not about.
    """

    claim: int
    title: str
    statement: str
    section: str
    verdict: VerdictName
    decided_by: DecidedBy
    """`theory`: an argument decides, whatever was measured."""
    sentence: str
    """What was found, in one plain sentence."""
    value: float | None
    interval: tuple[float, float] | None
    """Of the finding that decides, at `confidence`."""
    n: int
    """Seeds, or separate measurements of time, of the finding that decides."""
    confidence: float
    """Of the intervals; 0.95 unless several looks at the seeds share the error rate."""
    reason: str
    findings: tuple[Finding, ...]
    """The claim is reproduced where all its parts are."""
    point: dict[str, Any]
    """The swept values that this verdict is about; empty for the whole experiment."""
    label: str = ""
    """Their name, as in tables and legends; empty for the whole experiment."""
    scale: Literal["paper", "reduced"]
    """`paper`: data, epochs, seeds and nets, the widest included, are as large as the paper's."""
    reading: str | None
    """The reading of the paper that all its points make (`GET /readings`); null for none."""
    departures: tuple[str, ...]
    """Where the experiment departs from the paper."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One part of a claim: a quantity, and the bounds that the claim puts on it."""

    statement: str
    """What is measured, and what the claim says about it."""
    statistic: Statistic | None
    """None where nothing was measured."""
    wording: Wording | None = None
    """How a sentence tells the value; None only where nothing was measured"""
    above: float | None = None
    below: float | None = None
    is_inclusive: bool = False
    """Whether a value equal to `above` or `below` agrees with the claim"""
    bounds: Bounds = UNBOUNDED
    """What the quantity can be at all, e.g. `DIFFERENCE`"""
    reason: str = ""
    """Why nothing was measured"""
    theory: str | None = None
    """An argument why this part cannot hold, as a sentence without its full stop"""
    role: Role = "part"
    """`guard`: refutes the claim where it is refuted, and else decides nothing; `beside`: decides
    nothing"""
    interval: Callable[[float], Bounds | None] | None = None
    """The interval at a confidence; None for Student's t interval of the statistic"""

    def interval_at(self, confidence: float) -> Bounds | None:
        """The interval that decides; None with one value, or with too few that are all equal."""
        if self.statistic is None:
            return None
        if self.interval is not None:
            return self.interval(confidence)
        return decisive_interval(self.statistic, confidence, self.bounds)

    def is_inside(self, interval: Bounds) -> bool:
        """Whether the whole interval agrees with the claim; equal values may differ by rounding."""
        low, high = self._wanted
        if self.is_inclusive:
            return interval[0] >= low - NO_SPREAD and interval[1] <= high + NO_SPREAD
        return interval[0] > low and interval[1] < high

    def is_outside(self, interval: Bounds) -> bool:
        """Whether no value of the interval agrees with the claim."""
        low, high = self._wanted
        if self.is_inclusive:
            return interval[1] < low - NO_SPREAD or interval[0] > high + NO_SPREAD
        return interval[1] <= low or interval[0] >= high

    @property
    def _wanted(self) -> Bounds:
        return (
            -inf if self.above is None else self.above,
            inf if self.below is None else self.below,
        )


def unmeasured(statement: str, reason: str, theory: str | None = None) -> Measurement:
    """A part that these points do not measure, with the reason."""
    return Measurement(statement, None, reason=reason, theory=theory)


@dataclass(frozen=True, slots=True)
class Subject:
    """The points that a verdict is about."""

    specs: Sequence[ExperimentSpec]
    num_seeds: int
    """The fewest finished seeds of a point"""
    values: dict[str, Any] = field(default_factory=dict)
    """The swept values that they share"""
    departures: tuple[str, ...] = ()
    """Departures in size from the paper, beside those that each spec shows"""


def shared_values(points: Sequence[FinishedPoint]) -> dict[str, Any]:
    """The swept values that all points have in common; of a swept part of a spec, its equal fields.

    points: at least one, of one sweep.
    """
    first, *others = (point.values for point in points)
    found: dict[str, Any] = {}
    for name, value in first.items():
        rest = [values[name] for values in others]
        if isinstance(value, Mapping) and all(isinstance(one, Mapping) for one in rest):
            equal = {
                field: part
                for field, part in value.items()
                if all(field in one and one[field] == part for one in rest)
            }
            found |= {name: equal} if equal else {}
        elif all(one == value for one in rest):
            found[name] = value
    return found


def judge_bounds(
    measurement: Measurement, confidence: float = CONFIDENCE, num_parts: int = 1
) -> Finding:
    """Compare one quantity with its bounds.

    Reproduced where the whole interval of at least three seeds lies within them, not reproduced
    where all of the interval that pays for `num_parts` lies outside, inconclusive otherwise. Not
    reproduced by theory where an argument forbids it, whatever was measured.
    """
    verdict, reason = _decide(measurement, confidence, num_parts)
    statistic = measurement.statistic
    if measurement.theory is not None:
        verdict, reason = "not reproduced", f"{measurement.theory}; measured: {reason}"
    return Finding(
        statement=measurement.statement,
        verdict=verdict,
        value=None if statistic is None else statistic.mean,
        interval=_shown_interval(measurement, confidence),
        n=0 if statistic is None else statistic.n,
        reason=reason,
        decided_by="measurement" if measurement.theory is None else "theory",
        role=measurement.role,
    )


def conclude(
    claim: PaperClaim,
    measurements: Sequence[Measurement],
    subject: Subject,
    confidence: float = CONFIDENCE,
) -> Verdict:
    """Reproduced where every part is, not reproduced where any is not, else inconclusive.

    A guard that is not reproduced refutes the claim too. measurements: of at least one part.
    """
    beside = [one.role == "beside" for one in measurements if one.statistic is not None]
    judged = [
        (one, judge_bounds(one, confidence, max(1, beside.count(one.role == "beside"))))
        for one in measurements
    ]
    measurement, deciding = min(
        (pair for pair in judged if pair[1].role == "part" or _refutes(pair[1])),
        key=lambda pair: (_ORDER.index(pair[1].verdict), pair[1].decided_by != "theory"),
    )
    num_parts = sum(one.role == "part" for one in measurements)
    readings = {find_reading(spec) for spec in subject.specs}
    return Verdict(
        claim=claim.number,
        title=claim.title,
        statement=claim.statement,
        section=claim.section,
        verdict=deciding.verdict,
        decided_by=deciding.decided_by,
        sentence=tell(claim, measurement, deciding, confidence, num_parts),
        value=deciding.value,
        interval=deciding.interval,
        n=deciding.n,
        confidence=confidence,
        reason=f"{deciding.statement}: {deciding.reason}",
        findings=tuple(finding for _, finding in judged),
        point=subject.values,
        scale=_scale_of(subject),
        reading=readings.pop() if len(readings) == 1 else None,
        departures=(*subject.departures, *list_departures(subject.specs, subject.num_seeds)),
    )


def conclude_any(
    claim: PaperClaim,
    cases: Sequence[Sequence[Measurement]],
    subject: Subject,
    confidence: float = CONFIDENCE,
) -> Verdict:
    """Reproduced where some case is, not reproduced where every case is not, else inconclusive.

    cases: the parts of each; at least one. The findings of the cases that do not decide stand
    beside those of the case that does.
    """
    found = [conclude(claim, parts, subject, confidence) for parts in cases]
    if not all(one.verdict == "not reproduced" for one in found):
        paying = 1 - (1 - confidence) / len(cases)
        found = [conclude(claim, parts, subject, paying) for parts in cases]
    chosen = max(found, key=lambda one: _ORDER.index(one.verdict))
    others = [finding for one in found if one is not chosen for finding in one.findings]
    if chosen.verdict != "not reproduced":
        others = [finding.model_copy(update={"role": "beside"}) for finding in others]
    return chosen.model_copy(update={"findings": (*chosen.findings, *others)})


def _scale_of(subject: Subject) -> Literal["paper", "reduced"]:
    is_paper = is_paper_scale(subject.specs, subject.num_seeds) and not subject.departures
    return "paper" if is_paper else "reduced"


def _refutes(finding: Finding) -> bool:
    return finding.role == "guard" and finding.verdict == "not reproduced"


def _decide(measurement: Measurement, confidence: float, num_parts: int) -> tuple[VerdictName, str]:
    """The verdict on a measurement alone, and its reason."""
    statistic = measurement.statistic
    if statistic is None:
        return "inconclusive", measurement.reason
    if statistic.n < MIN_SEEDS:
        return "inconclusive", f"{statistic.n} seeds; {MIN_SEEDS} are needed"
    interval = measurement.interval_at(confidence)
    if interval is None:
        return (
            "inconclusive",
            f"no spread: all {statistic.n} values are equal, and they are too few to decide",
        )
    wanted = _describe_bounds(measurement)
    low, high = interval
    found = f"{100 * confidence:.6g} % interval [{low:.4g}, {high:.4g}]"
    if low == high:
        found = f"no spread: each of {statistic.n} values is {low:.4g}, which"
    if measurement.is_inside(interval):
        return "reproduced", f"{found} is {wanted}"
    wider = measurement.interval_at(1 - (1 - confidence) / num_parts)
    if wider is not None and measurement.is_outside(wider):
        return "not reproduced", f"{found} is not {wanted}"
    if measurement.is_outside(interval):
        return (
            "inconclusive",
            f"{found} is not {wanted}, but this may be chance, as {num_parts} are compared",
        )
    return "inconclusive", f"{found} is neither wholly {wanted} nor outside"


def _shown_interval(measurement: Measurement, confidence: float) -> Bounds | None:
    """None also without spread: an interval of no width would look exact."""
    interval = measurement.interval_at(confidence)
    if interval is None or interval[1] - interval[0] <= NO_SPREAD:
        return None
    return interval


def _describe_bounds(measurement: Measurement) -> str:
    above, below = measurement.above, measurement.below
    if above is None:
        return f"{'at most' if measurement.is_inclusive else 'below'} {below:g}"
    if below is None:
        return f"{'at least' if measurement.is_inclusive else 'above'} {above:g}"
    return f"between {above:g} and {below:g}"
