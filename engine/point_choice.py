"""Chooses the few points of a large sweep that a figure draws. Imports neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

from engine.answers import Better

Choice = Literal["best", "worst", "spread"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
FEW, FEW_BEST = 6, 3
"""Points that are chosen of more, and how many of them are the best ones; one is the worst."""
MAX_CHOSEN = 12
"""Points that a reader may choose by index."""


@dataclass(frozen=True, slots=True)
class ChosenPoints:
    """The points that a figure draws."""

    places: Sequence[int]
    """In ascending order"""
    reason: str
    """How they were chosen, as the end of a sentence; empty where a reader chose them."""


def choose_few(
    scores: Sequence[float | None],
    better: Better | None,
    choice: Choice | None = None,
    most: int = FEW,
) -> ChosenPoints:
    """At most `most` places by their score.

    scores: None where a point has none; such points are chosen only where no point has one. choice:
    by default the best ones, the worst one and others between, evenly by value; `spread` has one
    best. better: which values are; the higher ones where neither is.
    """
    known = [place for place, one in enumerate(scores) if one is not None and isfinite(one)]
    if not known:
        return ChosenPoints(range(min(most, len(scores))), "the first ones")
    sign = 1.0 if better == "lower" else -1.0
    ranked = sorted(known, key=lambda place: (sign * (scores[place] or 0.0), place))
    first, last = ("best", "worst") if better else ("highest", "lowest")
    if choice in ("best", "worst"):
        found = ranked[:most] if choice == "best" else ranked[::-1][:most]
        return ChosenPoints(sorted(found), f"the {first if choice == 'best' else last}")
    num_best = 1 if choice == "spread" else min(FEW_BEST, max(1, most - 2))
    found = [*ranked[:num_best], *ranked[num_best:][-1:]]
    between = _spread(ranked, scores, found, most - len(found))
    parts = [
        f"the {num_best} {first}" if num_best > 1 else f"the {first}",
        *([f"the {last}"] if len(found) > num_best else []),
        *([f"{len(between)} between"] if between else []),
    ]
    text = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    return ChosenPoints(sorted([*found, *between]), text)


def _spread(
    ranked: Sequence[int], scores: Sequence[float | None], taken: Sequence[int], count: int
) -> list[int]:
    """`count` places that are not taken, nearest to values evenly between the ends of the rest."""
    rest = [place for place in ranked if place not in taken]
    if len(rest) <= count:
        return rest
    low, high = (float(scores[place] or 0.0) for place in (rest[0], rest[-1]))
    found: list[int] = []
    for step in range(1, count + 1):
        target = low + (high - low) * step / (count + 1)
        left = [place for place in rest if place not in found]
        found.append(min(left, key=lambda place: abs(float(scores[place] or 0.0) - target)))
    return found
