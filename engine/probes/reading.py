"""The regime in one sentence, from the distance of the tangent kernel. Imports no torch.

The regime is a matter of degree, and no source gives a bound. The words are orders of magnitude of
the kernel's relative change, which vanishes in the lazy limit and is of order one in the rich one
(Geiger et al., arXiv 1906.08034): up to a tenth is small against one, and from 10^-0.5 on the order
of magnitude, rounded, is one. They were not fitted to any training.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.result import Statistic
from engine.statistic_text import tell

QUANTITY = "kernel_distance"
LAZY_BELOW, RICH_FROM = 0.1, 10**-0.5
ROUNDING = 1e-5
"""Kernels that are equal but for float32 differ by less, as where only the last layer trains."""


def name_regime(distance: float) -> str:
    """`lazy`, `between lazy and rich`, or `rich`."""
    if distance < LAZY_BELOW:
        return "lazy"
    return "rich" if distance >= RICH_FROM else "between lazy and rich"


def describe_regimes(found: Sequence[tuple[str, Statistic]]) -> list[str]:
    """One sentence on the points, given as (label, kernel distance); none without points."""
    if not found:
        return []
    lowest = min(found, key=lambda one: one[1].mean)
    highest = max(found, key=lambda one: one[1].mean)
    if len(found) == 1:
        return [f"The tangent kernel moved by {tell_distance(lowest[1])}."]
    return [
        f"The tangent kernel moved by {tell_distance(lowest[1])} at {lowest[0]}, and by "
        f"{tell_distance(highest[1])} at {highest[0]}."
    ]


def tell_distance(distance: Statistic) -> str:
    """`61 % (95 % interval 55 to 67, n = 5): rich`; all words that the interval allows."""
    ends = distance.ci95 or (distance.mean, distance.mean)
    if ends[1] < ROUNDING:
        return f"less than {100 * ROUNDING:g} %, which is rounding: lazy"
    words = dict.fromkeys(name_regime(value) for value in (ends[0], distance.mean, ends[1]))
    return f"{tell(distance, 'share')}: {' or '.join(words)}"
