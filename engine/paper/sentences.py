"""What a verdict found, in one plain sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from engine.analysis.stats import MIN_SEEDS
from engine.paper.claims import PaperClaim

if TYPE_CHECKING:
    from engine.paper.verdict import Finding, Measurement

Unit = Literal["points", "times", "ratio", "share", "number"]
_ENDS = {
    "reproduced": "as the paper says",
    "not reproduced": "against the paper",
    "inconclusive": "which does not decide it",
}


@dataclass(frozen=True, slots=True)
class Wording:
    """How a sentence tells a quantity; `{}` stands for the value without its sign.

    A value of zero is told in the direction of the claim.
    """

    more: str
    """For a value of at least zero"""
    less: str = ""
    """For a negative value; empty where there is none"""
    unit: Unit = "points"
    """`points`: a difference of accuracies; `times`: a ratio of measured times; `ratio`: another
    ratio; `share`: of a whole; `number`: without a unit"""


def tell(
    claim: PaperClaim,
    measurement: Measurement,
    finding: Finding,
    confidence: float,
    num_parts: int = 1,
) -> str:
    """One sentence with the value, its interval, the number of seeds and what follows.

    An argument that decides has a sentence of its own, before the one of what was measured.
    """
    measured = _tell_value(measurement, finding, confidence)
    if measurement.theory is not None:
        theory = measurement.theory[0].upper() + measurement.theory[1:]
        return f"{theory}. Measured: {measured}." if measured else f"{theory}."
    if not measured:
        return f"{claim.title}: not decided, because {finding.reason}."
    if finding.verdict == "inconclusive" and finding.n < MIN_SEEDS:
        return f"{measured}; a verdict needs {MIN_SEEDS}."
    others = num_parts - 1
    if finding.verdict == "reproduced" and others:
        more = "1 more finding agrees" if others == 1 else f"{others} more findings agree"
        return f"{measured}, {_ENDS[finding.verdict]}; {more}."
    return f"{measured}, {_ENDS[finding.verdict]}."


def _tell_value(measurement: Measurement, finding: Finding, confidence: float) -> str:
    """Empty where nothing was measured."""
    wording, value = measurement.wording, finding.value
    if wording is None or value is None:
        return ""
    scale = 100.0 if wording.unit in ("points", "share") else 1.0
    ends = [scale * end for end in finding.interval] if finding.interval else []
    digits = _choose_digits(ends, wording.unit)
    shown = float(f"{scale * value:.{digits}f}")
    claims_less = measurement.below is not None and measurement.above is None
    is_less = bool(wording.less) and (shown < 0 or (shown == 0 and claims_less))
    if is_less:
        scale, ends = -scale, [-end for end in reversed(ends)]
    text = (wording.less if is_less else wording.more).format(
        _write(scale * value, digits, wording.unit)
    )
    what = "timed run" if wording.unit == "times" else "seed"
    count = f"{finding.n} {what}{'s' * (finding.n != 1)}"
    if ends:
        low, high = (f"{end:z.{digits}f}" for end in ends)
        return f"{text} ({100 * confidence:.6g} % interval {low} to {high}, {count})"
    return f"{text} ({count}{', no spread' if finding.n > 1 else ''})"


def _choose_digits(ends: list[float], unit: Unit) -> int:
    """Enough to tell the ends of the interval apart."""
    width = ends[1] - ends[0] if ends else 0.0
    if unit not in ("points", "share"):
        return 2 if not ends or width >= 0.05 else 3
    return 0 if width >= 20 else 1 if not ends or width >= 0.3 else 2


def _write(value: float, digits: int, unit: Unit) -> str:
    text = f"{value:z.{digits}f}"
    if unit in ("times", "ratio"):
        return f"{text} times"
    if unit == "number":
        return text
    if unit == "share":
        return f"{text} %"
    return f"{text} point{'s' * (float(text) != 1)}"
