"""What answers a kind's question, as columns of numbers: for tables, lists and rankings.

Reads stored results as JSON. Imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from engine.result import Statistic, is_statistic
from engine.spec_fields import MAX_LETTERS

Unit = Literal[
    "accuracy", "share", "difference", "percent", "seconds", "ratio", "loss", "count", ""
]
"""`accuracy` and `share`: in [0, 1], shown in percent; `difference`: of two of these, in [-1, 1],
shown in percentage points; `percent`: in [0, 100]; `loss`: in nats; empty: without a unit."""
Better = Literal["higher", "lower"]
_UNITS: Mapping[str, Unit] = {
    "accuracy": "accuracy",
    "share": "share",
    "frequency": "share",
    "percent": "percent",
    "seconds": "seconds",
    "ratio": "ratio",
    "loss": "loss",
    "difference": "difference",
}
"""By the last word of a field's name"""
_BETTER: Mapping[Unit, Better] = {"accuracy": "higher", "loss": "lower", "seconds": "lower"}
PLACEHOLDER: Mapping[str, Any] = Statistic(
    mean=0.0, standard_error=None, ci95=None, n=1
).model_dump(mode="json")
"""Stands for a statistic that will be measured, where a kind tells its quantities beforehand"""
MAX_LISTED = 20
"""Names in the message of an unknown one"""


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """One number of a point."""

    name: str
    """A stable key, such as `test_accuracy` or `accuracy_at_gamma_1`."""
    title: str
    """In plain words, without the unit."""
    unit: Unit
    statistic: Statistic | None
    """Over the seeds; None where the point has no such value."""
    better: Better | None = None
    """Which of two values is better; None where neither is."""
    is_mean: bool = True
    """Whether it is the mean over seeds of a value that each seed has: a claim may be about it."""


def make_column(
    name: str,
    title: str = "",
    value: Mapping[str, Any] | None = None,
    *,
    unit: Unit | None = None,
    better: Better | None = None,
    is_mean: bool = True,
) -> AnswerColumn:
    """A column of a stored statistic; unit and title are those of its name where none are given."""
    return AnswerColumn(
        name,
        title or name.replace("_", " "),
        _unit_of(name) if unit is None else unit,
        None if value is None else Statistic.model_validate(value),
        better,
        is_mean,
    )


def list_statistics(point: Mapping[str, Any]) -> list[AnswerColumn]:
    """Every statistic of the point that is a field of its own: the answer of a kind without one.

    point: a `PointResult` as JSON.
    """
    return [
        make_column(name, value=value, better=_BETTER.get(_unit_of(name)))
        for name, value in point.items()
        if is_statistic(value)
    ]


def list_columns(answers: Iterable[Sequence[AnswerColumn]]) -> list[AnswerColumn]:
    """The columns that some point has, in the order in which they first occur, each once."""
    found: dict[str, AnswerColumn] = {}
    for answer in answers:
        for column in answer:
            found.setdefault(column.name, column)
    return list(found.values())


def explain_unknown_quantity(name: str, known: list[str]) -> str:
    """What to write instead of a quantity that a point does not have."""
    near = get_close_matches(name[:MAX_LETTERS], known, n=1)
    if near:
        return f"unknown quantity {name[:MAX_LETTERS]!r}; did you mean `{near[0]}`?"
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    listed = ", ".join(known[:MAX_LISTED]) or "none"
    return f"unknown quantity {name[:MAX_LETTERS]!r}; known: {listed}{more}"


def _unit_of(name: str) -> Unit:
    return _UNITS.get(name.rpartition("_")[2], "")
