"""Colours, markers and lines of policies, the same in every drawing of this room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from engine.plotting import series_colors

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
}
POLICY_WORDS = {
    "full": "Full",
    "top_k": "Top k",
    "bottom_q": "Bottom q",
    "top_k_bottom_q": "Top k Bottom q",
    "middle": "Middle Only",
    "prob_top_k_bottom_q": "Top k Bottom q, probabilistic",
    "top_k_all_bottoms": "Top k All Bottoms",
    "random_uniform": "Random-Uniform",
    "random_beta": "Random-Beta",
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.")


def family_styles(points: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """(colour, marker) by family: the colour tells the kind of policy, the marker the families of a kind apart.

    So Top 1 Bottom 1 and Top 1 All Bottoms, first of their kinds, share a marker.
    """
    looks: dict[str, tuple[str, str]] = {}
    seen: Counter[str] = Counter()
    for point in points:
        family, kind = point["family"], point["kind_of_policy"]
        if family not in looks:
            marker = "*" if kind == "full" else MARKERS[seen[kind] % len(MARKERS)]
            looks[family] = (POLICY_COLORS[kind], marker)
            seen[kind] += 1
    return looks


def curve_styles(points: Sequence[Mapping[str, Any]]) -> list[tuple[Any, str]]:
    """(colour, line) a point: the colour tells policies apart, the line their settings; else the colour tells all."""
    settings = list(dict.fromkeys(point["setting"] for point in points))
    policies = list(dict.fromkeys(point["policy"] for point in points))
    if len(settings) > len(LINES) or len(policies) == 1:
        return [(color, "-") for color in series_colors([point["values"] for point in points])]
    others = [policy for policy in policies if policy != "Full"]
    colors = {"Full": FULL_COLOR} | dict(
        zip(others, series_colors([{"policy": policy} for policy in others]), strict=True)
    )
    return [(colors[point["policy"]], LINES[settings.index(point["setting"])]) for point in points]
