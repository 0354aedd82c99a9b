"""Colours, markers and lines distinguish policies, settings and families."""

from __future__ import annotations

from engine.experiments.lws.plots import _bar_text
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


def test_the_colour_shows_the_kind_of_policy_and_the_marker_its_family() -> None:
    styles = family_styles(
        [
            point("Full", "full"),
            *(point(f"Top {k} Bottom {k}", "prob_top_k_bottom_q") for k in (1, 2)),
            *(point(f"Top {k} All Bottoms", "top_k_all_bottoms") for k in (1, 2)),
        ]
    )
    markers = {marker for _, marker in styles.values()}
    assert len(markers) == len(styles)
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
    for name in ("color", "marker"):
        assert (full[name], top[name]) == (full_too[name], top_too[name])
        assert full[name] != top[name]
    assert full["linestyle"] == top["linestyle"] != full_too["linestyle"] == top_too["linestyle"]


def test_curves_of_one_policy_differ_in_colour_and_line() -> None:
    points = [
        point("Full", "full", f"width {width}", **{"model.width": width}) for width in (10, 20, 30)
    ]
    styles = curve_styles(points)
    assert len({style["color"] for style in styles}) == 3
    assert len({style["linestyle"] for style in styles}) == 3


def test_sixteen_policies_have_a_marker_each() -> None:
    styles = family_styles([point(name, name) for name in POLICY_COLORS])
    assert len({str(marker) for _, marker in styles.values()}) == len(POLICY_COLORS) == 16


def test_a_small_ratio_of_times_is_not_shown_as_zero() -> None:
    def text(ratio: float) -> str:
        point = {"outcome": "trained", "backward_ratio": {"mean": ratio}}
        return _bar_text(point, "backward_seconds", 1.3436)

    assert text(0.002857) == "1.34\n(0.003x)"
    assert text(0.0785) == "1.34\n(0.08x)"
    assert text(0.378) == "1.34\n(0.38x)"
