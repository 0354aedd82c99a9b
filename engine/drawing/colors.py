"""Colours, dashes and markers that stay apart for colour-blind readers and in grey print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import matplotlib
from matplotlib.colors import Colormap, ListedColormap, to_rgb

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Colours that colour-blind readers can distinguish (Okabe & Ito), grey in place of yellow."""
LEAST_CONTRAST = 2.0
"""Of every line, marker and end of a colour map to white paper; black has 21."""
DASHES: tuple[Any, ...] = ("-", (0, (4.5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)))
MARKERS: tuple[Any, ...] = (
    *("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h", "d", "8"),
    *((4, 1, 0), (8, 1, 0)),
)
"""16; the last two are stars with 4 and 8 points"""
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++")
"""Of the parts of stacked bars, in their order."""


def contrast_to_white(color: Any) -> float:
    """The contrast of a colour to white, in [1, 21] (WCAG 2.2, relative luminance)."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in to_rgb(color)
    ]
    luminance = sum(
        weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
    )
    return 1.05 / (luminance + 0.05)


@cache
def cut_map(name: str) -> Colormap:
    """The colour map of matplotlib up to where it fades on white.

    name: of a map that runs from dark to light, so that order is legible in grey too.
    """
    scale = matplotlib.colormaps[name]
    colors = [scale(place) for place in range(scale.N)]
    shown = [color for color in colors if contrast_to_white(color) >= LEAST_CONTRAST]
    return ListedColormap(shown, name=f"{name}_cut").resampled(scale.N)


def pick_shades(count: int, name: str = "viridis") -> list[Any]:
    """`count` colours from dark to light, evenly spaced over the map."""
    scale = cut_map(name)
    return [scale(index / max(count - 1, 1)) for index in range(count)]


def series_colors(points: Sequence[Mapping[str, Any]]) -> list[Any]:
    """One colour per point: viridis in order if the points differ in one number, else OKABE_ITO."""
    axes = {name for values in points for name in values}
    if len(axes) == 1 and len(points) > 2:
        (name,) = axes
        numbers = [values[name] for values in points]
        if all(
            isinstance(number, int | float) and not isinstance(number, bool) for number in numbers
        ):
            ranks = {number: rank for rank, number in enumerate(sorted(set(numbers)))}
            shades = pick_shades(len(ranks))
            return [shades[ranks[number]] for number in numbers]
    if len(points) > len(OKABE_ITO):
        return pick_shades(len(points))
    return list(OKABE_ITO[: len(points)])


def series_styles(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Colour, dash and marker of each point's line; up to 16 differ without the colour."""
    return [
        {
            "color": color,
            "linestyle": DASHES[index % len(DASHES)],
            "marker": (None, *MARKERS[:3])[index // len(DASHES) % 4],
        }
        for index, color in enumerate(series_colors(points))
    ]


def series_markers(count: int) -> list[Any]:
    """A marker for each of `count` series; up to 16 differ."""
    return [MARKERS[index % len(MARKERS)] for index in range(count)]
