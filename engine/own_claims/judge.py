"""Verdicts on the claims that a submission makes, by the statistics of the paper's verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from engine.analysis.pairs import (
    pair_by_seed,
    summarize_difference,
    summarize_timed_difference,
)
from engine.analysis.stats import (
    CONFIDENCE,
    MIN_SEEDS,
    bounds_of,
    bounds_of_difference,
    keep_samples,
    measured_apart,
)
from engine.answers import AnswerColumn, Unit
from engine.kind import FinishedPoint, Kind
from engine.labels import label_points
from engine.own_claims.claim import OwnClaim
from engine.paper.verdict import Finding, Measurement, VerdictName, judge_bounds
from engine.result import PointResult, ResultModel, SeedResult, Statistic
from engine.statistic_text import name_unit, scale_of, tell_interval

_ENDS: Mapping[VerdictName, str] = {
    "reproduced": "as claimed",
    "not reproduced": "against the claim",
    "inconclusive": "which does not decide the claim",
}


class OwnVerdict(ResultModel):
    """One claim of the submission, judged."""

    name: str
    """Of the claim."""
    statement: str
    """What the claim says, in words."""
    quantity: str
    unit: str
    """Of the value and the interval: that of the quantity; `difference`, in [-1, 1], for accuracies
    and shares of two points."""
    point: dict[str, Any]
    """The swept values of the point."""
    versus: dict[str, Any] | None
    """Those of the other point; null where the claim is about one."""
    verdict: VerdictName
    sentence: str
    """What was found, in one plain sentence."""
    value: float | None
    interval: tuple[float, float] | None
    """Over seeds, at `confidence`; null with one seed or without spread."""
    n: int
    """Seeds, or separate measurements of time."""
    confidence: float
    """Of the interval; 0.95 unless several looks at the seeds share the error rate."""
    reason: str


def judge_own_claims(
    kind: Kind,
    points: Sequence[FinishedPoint],
    summary: Sequence[PointResult],
    claims: Sequence[OwnClaim],
    confidence: float = CONFIDENCE,
) -> tuple[OwnVerdict, ...]:
    """A verdict on each claim, in their order.

    points: all of the experiment. summary: the result of each that has a finished seed, in their
    order. confidence: of the intervals that decide, in (0, 1).
    """
    if not claims:
        return ()
    sides = _list_sides(kind, points, summary)
    return tuple(_judge(claim, sides, confidence) for claim in claims)


@dataclass(frozen=True)
class _Side:
    """A point, as one side of a claim."""

    kind: Kind
    label: str
    """Empty where the experiment has one point"""
    point: FinishedPoint
    points: Sequence[FinishedPoint]
    """All of the experiment: some quantities compare the point with another one"""
    result: PointResult | None
    """None while no seed has finished"""

    @cached_property
    def columns(self) -> Mapping[str, AnswerColumn]:
        return {} if self.result is None else _read_columns(self.kind, self.result)

    def summarize(self, results: Sequence[SeedResult]) -> Mapping[str, AnswerColumn]:
        """The quantities of some seeds alone."""
        (found,) = self.kind.summarize([replace(self.point, results=results)])
        return _read_columns(self.kind, found)

    def values(self, quantity: str) -> Sequence[float] | None:
        """The value of each seed, in the order of the results; None where some seed has none."""
        return self._values_alone.get(quantity) or self._values_among.get(quantity)

    @cached_property
    def _values_alone(self) -> Mapping[str, Sequence[float]]:
        return self._read_values([self.point])

    @cached_property
    def _values_among(self) -> Mapping[str, Sequence[float]]:
        """Also of quantities that compare the point with another one of the experiment."""
        return self._read_values([one for one in self.points if one.results])

    def _read_values(self, points: Sequence[FinishedPoint]) -> Mapping[str, Sequence[float]]:
        results = [_unstack(result) for result in self.point.results]
        place = next(place for place, one in enumerate(points) if one is self.point)
        chosen = [replace(one, results=results) if one is self.point else one for one in points]
        with keep_samples() as samples:
            columns = _read_columns(self.kind, self.kind.summarize(chosen)[place])
        return {
            name: samples[int(column.statistic.mean)]
            for name, column in columns.items()
            if column.is_mean and column.statistic and column.statistic.n == len(results)
        }


def _unstack(result: SeedResult) -> SeedResult:
    """The result as if its times had been measured alone: its shares of the stack's times."""
    alone = {"stacked_seeds": 1}
    timings = result.timings.model_copy(update=alone)
    has_own = "stacked_seeds" in type(result).model_fields
    return result.model_copy(update={"timings": timings} | (alone if has_own else {}))


def _read_columns(kind: Kind, result: PointResult) -> dict[str, AnswerColumn]:
    return {
        column.name: column
        for column in kind.read_quantities(result)
        if column.statistic is not None
    }


def _list_sides(
    kind: Kind, points: Sequence[FinishedPoint], summary: Sequence[PointResult]
) -> dict[int, _Side]:
    """By index of the point."""
    finished = [point.index for point in points if point.results]
    results = dict(zip(finished, summary, strict=True))
    labels = label_points([point.values for point in points]) if len(points) > 1 else [""]
    return {
        point.index: _Side(kind, label, point, points, results.get(point.index))
        for point, label in zip(points, labels, strict=True)
    }


def _judge(claim: OwnClaim, sides: Mapping[int, _Side], confidence: float) -> OwnVerdict:
    ours = sides[claim.point]
    base = None if claim.versus is None else sides[claim.versus]
    column = ours.columns.get(claim.quantity)
    unit: Unit = "" if column is None else column.unit
    if base is not None and unit in ("accuracy", "share"):
        unit = "difference"
    what = _name(claim, column, ours, base)
    wanted = _describe_wanted(claim, unit)
    measurement = _measure(claim, f"{what} is {wanted}", ours, base)
    finding = judge_bounds(measurement, confidence)
    return OwnVerdict(
        name=claim.name,
        statement=finding.statement,
        quantity=claim.quantity,
        unit=unit,
        point=dict(ours.point.values),
        versus=None if base is None else dict(base.point.values),
        verdict=finding.verdict,
        sentence=_tell(what, wanted, unit, measurement.statistic, finding, confidence),
        value=finding.value,
        interval=finding.interval,
        n=finding.n,
        confidence=confidence,
        reason=finding.reason,
    )


def _name(claim: OwnClaim, column: AnswerColumn | None, ours: _Side, base: _Side | None) -> str:
    """`Test accuracy at width 100 less that at width 10, paired by seed,`"""
    title = claim.quantity.replace("_", " ") if column is None else column.title
    named = f"{title[:1].upper()}{title[1:]}" + (f" at {ours.label}" if ours.label else "")
    return named if base is None else f"{named} less that at {base.label}, paired by seed,"


def _describe_wanted(claim: OwnClaim, unit: Unit) -> str:
    """`at least 95 %`, in the unit that is shown."""
    low, high = claim.bounds

    def show(bound: float) -> str:
        return f"{scale_of(unit) * bound:.6g}"

    if low is None:
        assert high is not None, "a claim has a bound"
        return f"at most {name_unit(show(high), unit)}"
    if high is None:
        return f"at least {name_unit(show(low), unit)}"
    return f"between {show(low)} and {name_unit(show(high), unit)}"


def _measure(claim: OwnClaim, statement: str, ours: _Side, base: _Side | None) -> Measurement:
    statistic, reason = (
        _read_statistic(claim.quantity, ours)
        if base is None
        else _read_difference(claim.quantity, ours, base)
    )
    column, (low, high) = ours.columns.get(claim.quantity), claim.bounds
    find_bounds = bounds_of if base is None else bounds_of_difference
    bounds = find_bounds(claim.quantity, "" if column is None else column.unit)
    return Measurement(
        statement,
        statistic,
        above=low,
        below=high,
        is_inclusive=True,
        bounds=bounds,
        reason=reason,
    )


def _read_statistic(quantity: str, side: _Side) -> tuple[Statistic | None, str]:
    """The quantity as tables of results have it, or why there is none."""
    column, results = side.columns.get(quantity), side.point.results
    absent = _explain_absence(quantity, side)
    if column is None or column.statistic is None or absent is not None:
        return None, absent or ""
    if column.unit == "seconds":
        # Seeds that trained as one stack share one measured time, and are not independent.
        apart = measured_apart(results, lambda one: (one.timings,))
        if len(apart) < len(results):
            return side.summarize(apart)[quantity].statistic, ""
    if column.unit not in ("seconds", "ratio") and column.statistic.n < len(results):
        return None, _explain_missing(quantity, side)
    return column.statistic, ""


def _read_difference(quantity: str, ours: _Side, base: _Side) -> tuple[Statistic | None, str]:
    """The difference, paired by seed, or why there is none."""
    absent = _explain_absence(quantity, ours) or _explain_absence(quantity, base)
    if absent is not None:
        return None, absent
    pairs = pair_by_seed(ours.point.results, base.point.results)
    if not pairs:
        return None, "no seed has finished at both points"
    values: dict[int, float] = {}
    for side in (ours, base):
        found = side.values(quantity)
        if found is None:
            return None, _explain_missing(quantity, side)
        values |= zip(map(id, side.point.results), found, strict=True)
    unit = ours.columns[quantity].unit
    if unit == "seconds":
        return summarize_timed_difference(pairs, lambda one: values[id(one)]), ""
    bounds = bounds_of_difference(quantity, unit)
    return summarize_difference(pairs, lambda one: values[id(one)], bounds), ""


def _explain_absence(quantity: str, side: _Side) -> str | None:
    """Why the point has no such quantity; None where it has."""
    where = f" at {side.label}" if side.label else ""
    if not side.point.results:
        return f"no seed has finished{where}"
    return None if quantity in side.columns else f"the result{where} has no {quantity}"


def _explain_missing(quantity: str, side: _Side) -> str:
    """How many seeds of the point lack a quantity that others have."""
    statistic, total = side.columns[quantity].statistic, len(side.point.results)
    assert statistic is not None, "the point has the quantity"
    missing = total - statistic.n
    return f"{missing} of {total} seeds {'has' if missing == 1 else 'have'} no {quantity}"


def _tell(
    what: str,
    wanted: str,
    unit: Unit,
    statistic: Statistic | None,
    finding: Finding,
    confidence: float,
) -> str:
    """The value, its interval, the number of seeds, and what follows for the claim."""
    if statistic is None:
        return f"{what} is not known to be {wanted}, because {finding.reason}."
    measured = f"{what} is {tell_interval(statistic, unit, finding.interval, confidence)}"
    if finding.n < MIN_SEEDS:
        return f"{measured}; a verdict on {wanted} needs {MIN_SEEDS} seeds."
    return f"{measured}, {_ENDS[finding.verdict]}: {wanted}."
