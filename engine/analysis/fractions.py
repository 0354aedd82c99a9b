"""Fractions of the parameters in percent: grids, and how many parameters a fraction is.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Mode = Literal["active", "lazy"]
"""`active`: the first parameters of the order are reset. `lazy`: all others are."""
Criterion = Literal["movement", "magnitude", "magnitude_increase", "random"]
"""What orders the parameters (see `engine.analysis.reset_order`)."""


def count_of(percent: float, size: int) -> int:
    """How many of `size` parameters are `percent` of them: rounded, halves to even."""
    return min(size, round(percent * size / 100))


def distinct_counts(percents: Iterable[float], size: int) -> tuple[int, ...]:
    """The distinct counts of these fractions, ascending. In a small net fractions share counts."""
    return tuple(sorted({count_of(percent, size) for percent in percents}))


def default_grid() -> tuple[float, ...]:
    """40 fractions for logarithmic and linear axes.

    0.01 to 100 with five per decade, and 0, 5, ..., 100.
    """
    logarithmic = {float(f"{10 ** (step / 5 - 2):.3g}") for step in range(21)}
    return tuple(sorted(logarithmic | {float(percent) for percent in range(0, 101, 5)}))


def percent_key(percent: float) -> str:
    """A fraction as a JSON key: `1`, `0.1`."""
    return f"{percent:g}"
