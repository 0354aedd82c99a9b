"""Colours, markers and lines of policies, the same in every plot of this kind."""

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
    "lisa": "#8C564B",
    "freeze_out": "#7F3C8D",
    "freeze_bottom_up": "#11A579",
    "gradual_unfreeze": "#3969AC",
    "schedule": "#A5AA99",
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
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.")


def family_styles(points: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """(colour, marker) by family: colour for the kind of policy, marker for the family within it.

    Top 1 Bottom 1 and Top 1 All Bottoms, each the first of its kind, share a marker.
    """
    styles: dict[str, tuple[str, str]] = {}
    seen: Counter[str] = Counter()
    for point in points:
        family, kind = point["family"], point["kind_of_policy"]
        if family not in styles:
            marker = "*" if kind == "full" else MARKERS[seen[kind] % len(MARKERS)]
            styles[family] = (POLICY_COLORS[kind], marker)
            seen[kind] += 1
    return styles


def curve_styles(points: Sequence[Mapping[str, Any]]) -> list[tuple[Any, str]]:
    """(colour, line) for each point: colour for the policy, line for the setting.

    With one policy or too many settings, the colour alone distinguishes points.
    """
    settings = list(dict.fromkeys(point["setting"] for point in points))
    policies = list(dict.fromkeys(point["policy"] for point in points))
    if len(settings) > len(LINES) or len(policies) == 1:
        return [(color, "-") for color in series_colors([point["values"] for point in points])]
    others = [policy for policy in policies if policy != "Full"]
    colors = {"Full": FULL_COLOR} | dict(
        zip(others, series_colors([{"policy": policy} for policy in others]), strict=True)
    )
    return [(colors[point["policy"]], LINES[settings.index(point["setting"])]) for point in points]
