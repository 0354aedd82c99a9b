"""Colours, markers and lines of policies, the same in every plot of this kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from engine.drawing.colors import DASHES, MARKERS, series_colors, series_styles

FULL_COLOR = "#444444"
POLICY_COLORS = {
    "full": FULL_COLOR,
    "top_k": "#0072B2",
    "bottom_q": "#E69F00",
    "top_k_bottom_q": "#009E73",
    "middle": "#CC79A7",
    "prob_top_k_bottom_q": "#009E73",
    "top_k_all_bottoms": "#0072B2",
    "random_uniform": "#D55E00",
    "random_beta": "#56B4E9",
    "lisa": "#8C564B",
    "freeze_out": "#7F3C8D",
    "freeze_bottom_up": "#11A579",
    "gradual_unfreeze": "#3969AC",
    "schedule": "#8C9180",
    "bias": "#E68310",
    "norm": "#CF1C90",
}
POLICY_NAMES = {
    "full": "Full",
    "top_k": "Top k",
    "bottom_q": "Bottom q",
    "top_k_bottom_q": "Top k Bottom q",
    "middle": "Middle Only",
    "prob_top_k_bottom_q": "Top k Bottom q, probabilistic",
    "top_k_all_bottoms": "Top k All Bottoms",
    "random_uniform": "Random-Uniform",
    "random_beta": "Random-Beta",
    "lisa": "LISA",
    "freeze_out": "FreezeOut",
    "freeze_bottom_up": "Freeze Bottom-Up",
    "gradual_unfreeze": "Gradual Unfreezing",
    "schedule": "Schedule",
    "bias": "Biases",
    "norm": "Norms",
}
FULL_MARKER = "*"
MARKERS_OF_FAMILIES = tuple(marker for marker in MARKERS if marker != FULL_MARKER)
LINES = DASHES
FILLS = ("full", "none", "left", "bottom", "right", "top")
"""Fillings of markers, one a setting."""


def family_styles(points: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, Any]]:
    """(colour, marker) by family: colour for the kind of policy, a marker for each family.

    Up to 16 families, `full` among them, differ without the colour.
    """
    kinds = {point["family"]: point["kind_of_policy"] for point in points}
    markers = iter(cycle(MARKERS_OF_FAMILIES))
    return {
        family: (POLICY_COLORS[kind], FULL_MARKER if kind == "full" else next(markers))
        for family, kind in kinds.items()
    }


def fill_style(color: Any, fill: str) -> dict[str, Any]:
    """matplotlib's arguments for a marker of this colour with one of FILLS; the rest is white."""
    if fill == "none":
        return {"markerfacecolor": "white", "markeredgecolor": color}
    return {
        "markerfacecolor": color,
        "markerfacecoloralt": "white",
        "markeredgecolor": color,
        "fillstyle": fill,
    }


def curve_styles(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each point: colour and marker for the policy, line for the setting.

    With one policy or too many settings, points differ in colour, line and marker.
    """
    settings = list(dict.fromkeys(point["setting"] for point in points))
    policies = list(dict.fromkeys(point["policy"] for point in points))
    if len(settings) > len(LINES) or len(policies) == 1:
        return series_styles([point["values"] for point in points])
    others = [policy for policy in policies if policy != "Full"]
    colors = {"Full": FULL_COLOR} | dict(
        zip(others, series_colors([{"policy": policy} for policy in others]), strict=True)
    )
    markers = {"Full": None} | dict(zip(others, cycle(MARKERS)))
    return [
        {
            "color": colors[point["policy"]],
            "linestyle": LINES[settings.index(point["setting"])],
            "marker": markers[point["policy"]],
        }
        for point in points
    ]
