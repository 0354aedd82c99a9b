"""Verdicts on claim 5: active parameters concentrate at the ends of wide nets."""

from __future__ import annotations

from typing import Any

import pytest

from engine.experiments.activity_map.judge import judge as judge_points
from engine.experiments.activity_map.result import ActivityMapPointResult, summarize_points
from engine.experiments.registry import parse_spec
from engine.kind import FinishedPoint
from tests.engine_activity.made_results import make_point, make_result

WIDE, NARROW = 100, 10


def judge(*points: FinishedPoint) -> Any:
    (verdict,) = judge_points(points, summarize_points(points))
    return verdict


def test_ends_that_become_more_active_than_chance_with_width_reproduce_claim_5() -> None:
    narrow = make_point(NARROW, [[10, 80, 10], [11, 79, 10], [10, 79, 11]])
    wide = make_point(WIDE, [[30, 40, 30], [31, 38, 31], [29, 42, 29]], index=1)
    for order in ((narrow, wide), (wide, narrow)):
        verdict = judge(*order)
        assert verdict.claim == 5
        assert verdict.verdict == "reproduced", verdict.reason
        assert len(verdict.findings) == 4
        assert verdict.point == {}
        assert any("seeds" in departure for departure in verdict.departures)


def test_the_wrong_direction_is_not_reproduced() -> None:
    """The growth of either end contradicts the claim; one of four parts needs a wider interval."""
    narrow = make_point(NARROW, [[30, 40, 30], [31, 38, 31], [29, 42, 29], [30, 40, 30]])
    wide = make_point(WIDE, [[20, 60, 20], [20, 58, 22], [21, 60, 19], [19, 61, 20]], index=1)
    assert judge(narrow, wide).verdict == "not reproduced"


def test_growth_below_chance_is_not_concentration() -> None:
    narrow = make_point(NARROW, [[1, 98, 1], [2, 96, 2], [1, 98, 1]])
    wide = make_point(WIDE, [[6, 88, 6], [5, 90, 5], [6, 88, 6]], index=1)
    verdict = judge(narrow, wide)
    assert verdict.verdict == "not reproduced"
    assert [finding.verdict for finding in verdict.findings] == ["not reproduced", "reproduced"] * 2


def test_a_conv_net_is_judged_by_its_bottom_layer_alone() -> None:
    narrow = make_point(NARROW, [[10, 80, 10], [11, 79, 10], [10, 79, 11]], model="conv_net")
    wide = make_point(WIDE, [[30, 69, 1], [31, 68, 1], [29, 70, 1]], index=1, model="conv_net")
    assert judge(narrow, wide).verdict == "reproduced"


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([make_point(WIDE, [[30, 40, 30]] * 3)], "one width"),
        (
            [make_point(NARROW, [[10, 80, 10]] * 2), make_point(WIDE, [[30, 40, 30]] * 2, index=1)],
            "2 seeds",
        ),
        (
            [
                make_point(NARROW, [[10, 80, 10]] * 3),
                make_point(WIDE, [[30, 40, 30]] * 3, index=1, outcome="not_finite"),
            ],
            "did not train",
        ),
    ],
)
def test_what_cannot_be_decided_is_inconclusive(points: list[FinishedPoint], reason: str) -> None:
    verdict = judge(*points)
    assert verdict.verdict == "inconclusive"
    assert reason in verdict.reason


def test_a_net_of_two_layers_is_inconclusive() -> None:
    points = [
        FinishedPoint(
            index,
            {"model.width": width},
            parse_spec(
                {
                    "kind": "activity_map",
                    "model": {"name": "relu_net", "depth": 1, "width": width},
                }
            ),
            [make_result(seed, {"1": [9, 1 + seed]}, [90, 10]) for seed in range(3)],
        )
        for index, width in enumerate((10, 100))
    ]
    assert "two layers" in judge(*points).reason


def test_the_narrow_width_of_the_figures_is_asked_for() -> None:
    for model, wanted in (("relu_net", 100), ("conv_net", 10)):
        line = f"the narrow net has width 3 instead of {wanted}"
        for width, is_told in ((3, True), (wanted, False)):
            narrow = make_point(width, [[10, 80, 10]] * 3, model=model)
            wide = make_point(1_000, [[30, 40, 30]] * 3, index=1, model=model)
            assert (line in judge(narrow, wide).departures) is is_told


def test_intervals_stay_within_what_a_concentration_can_be() -> None:
    """The bottom layer has a tenth of the parameters: at most ten times its share."""
    narrow = make_point(NARROW, [[10, 80, 10], [60, 30, 10]])
    wide = make_point(WIDE, [[98, 1, 1], [60, 39, 1]], index=1)
    (_, result) = summarize_points([narrow, wide])
    assert isinstance(result, ActivityMapPointResult)
    concentration = result.layers[0].concentration["1"]
    assert concentration is not None
    assert concentration.ci95 is not None
    assert concentration.ci95[1] == 10.0
    concentrated, grows, *_ = judge(narrow, wide).findings
    assert concentrated.interval[1] == 10.0
    assert (grows.interval[0], grows.interval[1]) == (-10.0, 10.0)


def test_a_verdict_on_two_nets_is_not_named_after_one_of_them() -> None:
    """Where the whole `model` is swept; two depths are told apart."""
    points: list[FinishedPoint] = []
    for depth in (2, 3):
        for width in (NARROW, WIDE):
            point = make_point(width, [[10, 80, 10]] * 3, index=len(points))
            model = point.spec.model.model_copy(update={"depth": depth})
            values = {"model": {"name": "relu_net", "depth": depth, "width": width}}
            spec = point.spec.model_copy(update={"model": model})
            points.append(FinishedPoint(point.index, values, spec, point.results))
    found = [one.point for one in judge_points(points, summarize_points(points))]
    assert found == [{"model": {"name": "relu_net", "depth": depth}} for depth in (2, 3)]
