"""Verdicts on the claims of a submission as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.own_claims.judge import OwnVerdict
from engine.tables import TextColumn, TextTable

OWN_COLUMNS = (
    "claim",
    "statement",
    "quantity",
    "point",
    "versus",
    "found",
    "verdict",
    "value",
    "unit",
    "interval_low",
    "interval_high",
    "n",
    "confidence",
)


def tabulate_own(title: str, verdicts: Sequence[OwnVerdict]) -> TextTable:
    """A row for each verdict: what was found before what follows from it."""
    confidences = sorted({verdict.confidence for verdict in verdicts})
    return TextTable(
        title,
        [
            TextColumn("", "claim", is_text=True, is_long=True),
            TextColumn("", "found", is_text=True, is_long=True),
            TextColumn("", "verdict", is_text=True),
            TextColumn("", "n"),
        ],
        [[one.name, one.sentence, one.verdict, str(one.n)] for one in verdicts],
        [f"Intervals of {100 * confidence:.6g} %; n: seeds" for confidence in confidences],
    )


def own_numbers(title: str, verdicts: Sequence[OwnVerdict]) -> dict[str, Any]:
    """The same as `{"title", "columns", "points"}`, unrounded, in the unit of the results."""
    points = []
    for one in verdicts:
        low, high = one.interval or (None, None)
        points.append(
            {
                "claim": one.name,
                "statement": one.statement,
                "quantity": one.quantity,
                "point": one.point or None,
                "versus": one.versus,
                "found": one.sentence,
                "verdict": one.verdict,
                "value": one.value,
                "unit": one.unit,
                "interval_low": low,
                "interval_high": high,
                "n": one.n,
                "confidence": one.confidence,
            }
        )
    return {"title": title, "columns": list(OWN_COLUMNS), "points": points}
