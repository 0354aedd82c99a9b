"""Fractions of the parameters, in percent: how many parameters they are, and what a fraction is reset or kept for.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

Mode = Literal["active", "lazy"]
"""`active`: the parameters that moved most are reset; `lazy`: they are kept and all others reset."""


def count_of(percent: float, size: int) -> int:
    """round(percent / 100 * size), halves to even: how many of `size` parameters are `percent` of them."""
    return min(size, round(percent * size / 100))


def distinct_counts(percents: Iterable[float], size: int) -> tuple[int, ...]:
    """The counts of these fractions, ascending, each once: in a small net several fractions are one count."""
    return tuple(sorted({count_of(percent, size) for percent in percents}))


def default_grid() -> tuple[float, ...]:
    """0, then 0.01 to 100 with five a decade, joined with 0, 5, ..., 100: 40 fractions for log and linear axes alike."""
    logarithmic = {float(f"{10 ** (step / 5 - 2):.3g}") for step in range(21)}
    return tuple(sorted(logarithmic | {float(percent) for percent in range(0, 101, 5)}))


def percent_key(percent: float) -> str:
    """A fraction as a key of JSON: `1`, `0.1`."""
    return f"{percent:g}"


def is_ascending(percents: Sequence[float]) -> bool:
    """Whether each fraction is larger than the one before it."""
    return all(before < after for before, after in pairwise(percents))
