"""Colours, markers and lines distinguish policies, settings and families."""

from __future__ import annotations

from engine.experiments.lws.styles import POLICY_COLORS, POLICY_NAMES, curve_styles, family_styles
from engine.training.policies import STATIC_POLICIES


def point(policy: str, kind: str, setting: str = "", **values: object) -> dict[str, object]:
    return {
        "policy": policy,
        "family": policy,
        "kind_of_policy": kind,
        "setting": setting,
        "values": values,
    }


def test_every_policy_has_a_colour_and_a_name() -> None:
    assert POLICY_COLORS.keys() == POLICY_NAMES.keys() > STATIC_POLICIES


def test_the_colour_shows_the_kind_of_policy_and_the_marker_its_k() -> None:
    styles = family_styles(
        [
            point("Full", "full"),
            *(point(f"Top {k} Bottom {k}", "prob_top_k_bottom_q") for k in (1, 2)),
            *(point(f"Top {k} All Bottoms", "top_k_all_bottoms") for k in (1, 2)),
        ]
    )
    assert len(set(styles.values())) == len(styles)
    for k in (1, 2):
        assert styles[f"Top {k} Bottom {k}"][1] == styles[f"Top {k} All Bottoms"][1]
    assert (
        styles["Top 1 All Bottoms"][0]
        == styles["Top 2 All Bottoms"][0]
        != styles["Top 1 Bottom 1"][0]
    )


def test_a_curve_shows_its_policy_by_colour_and_its_initialisation_by_line() -> None:
    points = [
        point(policy, "full" if policy == "Full" else "top_k_all_bottoms", setting)
        for setting in ("Xavier", "pretrained")
        for policy in ("Full", "Top 4 All Bottoms")
    ]
    (full, top, full_too, top_too) = curve_styles(points)
    assert (full[0], top[0]) == (full_too[0], top_too[0])
    assert full[0] != top[0]
    assert full[1] == top[1] != full_too[1] == top_too[1]


def test_curves_of_one_policy_differ_in_colour() -> None:
    points = [
        point("Full", "full", f"width {width}", **{"model.width": width}) for width in (10, 20, 30)
    ]
    assert len({color for color, _ in curve_styles(points)}) == 3
