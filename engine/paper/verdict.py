"""From statistics to a verdict; a claim is reproduced only where 95 % intervals support it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from engine.analysis.stats import MIN_SEEDS
from engine.paper.claims import PaperClaim
from engine.result import ResultModel, Statistic

VerdictName = Literal["reproduced", "not reproduced", "inconclusive"]


class Finding(ResultModel):
    """One quantity compared with bounds."""

    statement: str
    """What was measured, and what the claim says about it."""
    verdict: VerdictName
    value: float | None
    interval: tuple[float, float] | None
    """95 % interval over seeds."""
    n: int
    reason: str


class Verdict(ResultModel):
    """One claim judged on one experiment, or on one group of its points.

    Points are grouped by the swept values that the claim is not about.
    """

    claim: int
    title: str
    statement: str
    section: str
    verdict: VerdictName
    value: float | None
    interval: tuple[float, float] | None
    """Of the finding that decides."""
    reason: str
    findings: tuple[Finding, ...]
    """The claim is reproduced where all are."""
    point: dict[str, Any]
    """The swept values that this verdict is about; empty for the whole experiment."""
    deviations: tuple[str, ...]
    """Where the experiment departs from the paper."""


def judge_bounds(
    statement: str, statistic: Statistic, *, above: float | None = None, below: float | None = None
) -> Finding:
    """Compare a statistic with bounds.

    Reproduced where the whole 95 % interval of at least three seeds lies within them, not
    reproduced where all of it lies outside, inconclusive otherwise.
    """
    low_bound = float("-inf") if above is None else above
    high_bound = float("inf") if below is None else below
    wanted = _describe_bounds(above, below)
    if statistic.n < MIN_SEEDS or statistic.ci95 is None:
        return _finding(
            statement, statistic, "inconclusive", f"{statistic.n} seeds; {MIN_SEEDS} are needed"
        )
    low, high = statistic.ci95
    found = f"95 % interval [{low:.4g}, {high:.4g}]"
    if low > low_bound and high < high_bound:
        return _finding(statement, statistic, "reproduced", f"{found} is {wanted}")
    if high <= low_bound or low >= high_bound:
        return _finding(statement, statistic, "not reproduced", f"{found} is not {wanted}")
    return _finding(
        statement, statistic, "inconclusive", f"{found} is neither wholly {wanted} nor outside"
    )


def undecided(statement: str, reason: str) -> Finding:
    """An inconclusive finding without a value, with the reason."""
    return Finding(
        statement=statement, verdict="inconclusive", value=None, interval=None, n=0, reason=reason
    )


def conclude(
    claim: PaperClaim,
    findings: Sequence[Finding],
    point: dict[str, Any],
    deviations: tuple[str, ...],
) -> Verdict:
    """Reproduced where every finding is, not reproduced where any is not, else inconclusive."""
    assert findings
    order: tuple[VerdictName, ...] = ("not reproduced", "inconclusive", "reproduced")
    deciding = min(findings, key=lambda finding: order.index(finding.verdict))
    return Verdict(
        claim=claim.number,
        title=claim.title,
        statement=claim.statement,
        section=claim.section,
        verdict=deciding.verdict,
        value=deciding.value,
        interval=deciding.interval,
        reason=f"{deciding.statement}: {deciding.reason}",
        findings=tuple(findings),
        point=point,
        deviations=deviations,
    )


def _finding(statement: str, statistic: Statistic, verdict: VerdictName, reason: str) -> Finding:
    return Finding(
        statement=statement,
        verdict=verdict,
        value=statistic.mean,
        interval=statistic.ci95,
        n=statistic.n,
        reason=reason,
    )


def _describe_bounds(above: float | None, below: float | None) -> str:
    if above is None:
        return f"below {below:g}"
    if below is None:
        return f"above {above:g}"
    return f"between {above:g} and {below:g}"
