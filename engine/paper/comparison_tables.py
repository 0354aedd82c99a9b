"""The comparison with the paper as two tables: verdicts on its claims, and its printed numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.answers import Unit
from engine.paper.comparison import PublishedValue
from engine.paper.verdict import Verdict
from engine.statistic_text import format_cell, symbol_of
from engine.tables import TextColumn, TextTable

VERDICT_COLUMNS = (
    "claim",
    "title",
    "point",
    "found",
    "verdict",
    "value",
    "interval_low",
    "interval_high",
    "n",
    "confidence",
    "decided_by",
    "scale",
    "reading",
    "departures",
)
PUBLISHED_COLUMNS = ("quantity", "point", "published", "at_least", "at_most", "ours", "source")
_UNITS: Mapping[str, Unit] = {
    "accuracy": "accuracy",
    "error": "accuracy",
    "difference": "difference",
    "seconds": "seconds",
}
"""Of what the paper prints, by the last word of its quantity"""


def tabulate_verdicts(title: str, verdicts: Sequence[Verdict]) -> TextTable:
    """A row for each verdict: what was found before what follows from it."""
    return TextTable(
        title,
        [
            TextColumn("", "claim", is_text=True, is_long=True),
            TextColumn("", "found", is_text=True, is_long=True),
            TextColumn("", "verdict", is_text=True),
            TextColumn("", "scale", is_text=True),
            TextColumn("", "reading", is_text=True),
            TextColumn("", "n"),
        ],
        [
            [
                _name_claim(verdict),
                verdict.sentence,
                verdict.verdict,
                verdict.scale,
                verdict.reading or "–",
                str(verdict.n),
            ]
            for verdict in verdicts
        ],
        _describe_verdicts(verdicts),
    )


def verdict_numbers(title: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The same as `{"title", "columns", "points"}`, unrounded and with all departures."""
    points = []
    for verdict in verdicts:
        low, high = verdict.interval or (None, None)
        points.append(
            {
                "claim": verdict.claim,
                "title": verdict.title,
                "point": verdict.point or None,
                "found": verdict.sentence,
                "verdict": verdict.verdict,
                "value": verdict.value,
                "interval_low": low,
                "interval_high": high,
                "n": verdict.n,
                "confidence": verdict.confidence,
                "decided_by": verdict.decided_by,
                "scale": verdict.scale,
                "reading": verdict.reading,
                "departures": "; ".join(verdict.departures),
            }
        )
    return {"title": title, "columns": list(VERDICT_COLUMNS), "points": points}


def tabulate_published(title: str, published: Sequence[PublishedValue]) -> TextTable:
    """A row for each printed number, with ours in its unit."""
    counts = sorted({one.ours.n for one in published if one.ours is not None})
    told = f" (n = {'–'.join(map(str, (counts[0], counts[-1])[: len(counts)]))})" if counts else ""
    return TextTable(
        title,
        [
            TextColumn("", "quantity", is_text=True),
            TextColumn("", "point", is_text=True),
            TextColumn("", "published"),
            TextColumn("", "this experiment"),
            TextColumn("", "source", is_text=True),
        ],
        [
            [
                _name_quantity(one.quantity),
                one.label or "–",
                one.printed,
                format_cell(one.ours, _unit_of(one.quantity)),
                one.source,
            ]
            for one in published
        ],
        [f"This experiment: mean ± one standard error over seeds{told}"],
    )


def published_numbers(title: str, published: Sequence[PublishedValue]) -> dict[str, Any]:
    """The same as `{"title", "columns", "points"}`, unrounded."""
    points = [
        {
            "quantity": one.quantity,
            "point": one.point or None,
            "published": one.printed,
            "at_least": one.at_least,
            "at_most": one.at_most,
            "ours": None if one.ours is None else one.ours.model_dump(mode="json"),
            "source": one.source,
        }
        for one in published
    ]
    return {"title": title, "columns": list(PUBLISHED_COLUMNS), "points": points}


def _name_claim(verdict: Verdict) -> str:
    return f"{verdict.claim}. {verdict.title}" + (f" ({verdict.label})" if verdict.label else "")


def _describe_verdicts(verdicts: Sequence[Verdict]) -> list[str]:
    """The confidence, and each departure with the claims beside which it stands."""
    claims: dict[str, dict[int, None]] = {}
    for verdict in verdicts:
        for departure in verdict.departures:
            claims.setdefault(departure, {})[verdict.claim] = None
    confidences = sorted({verdict.confidence for verdict in verdicts})
    return [
        *(f"Intervals of {100 * confidence:.6g} %; n: seeds" for confidence in confidences),
        *(
            f"Departs from the paper (claim{'s' * (len(found) > 1)} "
            f"{', '.join(map(str, found))}): {departure}"
            for departure, found in claims.items()
        ),
    ]


def _unit_of(quantity: str) -> Unit:
    return _UNITS.get(quantity.rpartition("_")[2], "difference" if "difference" in quantity else "")


def _name_quantity(quantity: str) -> str:
    symbol = symbol_of(_unit_of(quantity))
    return f"{quantity.replace('_', ' ')} ({symbol})" if symbol else quantity.replace("_", " ")
