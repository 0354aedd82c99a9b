"""Verdicts on claims 1 to 4 of the kinds `reinit_sweep` and `train`.

A claim is reproduced where the statistics support it, never by choosing the lowest of many values.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from engine.experiments.registry import get_kind, parse_spec
from engine.experiments.reinit_sweep.judge import judge as judge_points
from engine.experiments.reinit_sweep.result import ReinitSeedResult, SeedCurve
from engine.experiments.train.result import TrainSeedResult
from engine.kind import FinishedPoint
from engine.paper.claims import CLAIMS
from engine.paper.sentences import Wording
from engine.paper.verdict import Measurement, Subject, Verdict, conclude
from engine.result import SeedResult, Statistic, Timings

FRACTIONS = (0.0, 0.1, 1.0, 3.0, 10.0, 30.0, 60.0, 100.0)
AS_PUBLISHED = {
    10: (
        (0.92, 0.80, 0.60, 0.40, 0.10, 0.10, 0.10, 0.10),
        (0.10, 0.1, 0.1, 0.2, 0.5, 0.7, 0.9, 0.92),
    ),
    1000: (
        (0.97, 0.95, 0.50, 0.20, 0.08, 0.14, 0.18, 0.20),
        (0.20, 0.2, 0.3, 0.7, 0.965, 0.97, 0.97, 0.97),
    ),
}
"""By width: small versions of the active and the lazy curve that the paper draws."""
Curves = Mapping[int, tuple[Sequence[float], Sequence[float]]]


def make_points(
    curves: Curves,
    *,
    seeds: int = 5,
    noise: float = 0.004,
    modes: Sequence[str] = ("active", "lazy"),
    fractions: Sequence[float] = FRACTIONS,
    outcome: str = "trained",
    depth: int = 1,
    generator: random.Random | None = None,
    **parts: Any,
) -> list[FinishedPoint]:
    generator = generator or random.Random(0)
    parts = {"reset_to": {"name": "epoch", "epoch": 1}} | parts
    points = []
    for index, (width, pair) in enumerate(curves.items()):
        spec = {
            "kind": "reinit_sweep",
            "modes": list(modes),
            "fractions_percent": list(fractions),
            "model": {"name": "relu_net", "width": width, "depth": depth},
            **parts,
        }
        seed_results = []
        for seed in range(seeds):
            drawn = [
                [min(1, max(0, value + generator.gauss(0, noise))) for value in curve]
                for curve in pair
            ]
            by_mode = dict(zip(("active", "lazy"), drawn, strict=True))
            by_mode["random"] = [1 - 0.3 * fraction / 100 for fraction in fractions]
            seed_results.append(
                ReinitSeedResult(
                    seed=seed,
                    outcome=outcome,
                    test_accuracy=drawn[0][0],
                    initial_test_accuracy=drawn[0][-1],
                    train_loss=0.1,
                    timings=Timings(),
                    num_parameters=10_000,
                    sweep_seconds=1.0,
                    curves=tuple(
                        SeedCurve(
                            mode=mode,
                            fractions_percent=tuple(fractions),
                            counts=tuple(round(100 * fraction) for fraction in fractions),
                            test_accuracy=tuple(by_mode[mode]),
                        )
                        for mode in modes
                    ),
                )
            )
        points.append(FinishedPoint(index, {"model.width": width}, parse_spec(spec), seed_results))
    return points


def judge(points: Sequence[FinishedPoint]) -> dict[int, Verdict]:
    verdicts = judge_points(points, get_kind(points[0].spec.kind).summarize(points))
    return {verdict.claim: verdict for verdict in verdicts}


def test_curves_like_those_of_the_paper_reproduce_its_claims() -> None:
    found = judge(make_points(AS_PUBLISHED))
    assert {claim: verdict.verdict for claim, verdict in found.items()} == dict.fromkeys(
        (1, 2, 3, 4), "reproduced"
    )
    assert [len(found[claim].findings) for claim in (1, 2, 3, 4)] == [5, 2, 2, 2]
    assert "the widest net has width 1,000 instead of 100,000" in found[4].departures


def test_two_seeds_reproduce_nothing() -> None:
    assert {verdict.verdict for verdict in judge(make_points(AS_PUBLISHED, seeds=2)).values()} == {
        "inconclusive"
    }


def test_curves_that_only_fall_do_not_reproduce_the_low_point_and_the_rise() -> None:
    falling = (0.97, 0.96, 0.95, 0.9, 0.8, 0.5, 0.3, 0.1)
    found = judge(make_points({10: AS_PUBLISHED[10], 1000: (falling, AS_PUBLISHED[1000][1])}))
    assert found[1].verdict == "not reproduced"
    assert "lowest test accuracy at gamma between" in found[1].reason
    assert found[2].verdict == "not reproduced"


def test_a_widest_net_that_keeps_its_accuracy_when_little_is_reset_refutes_claim_1() -> None:
    kept = (0.95, 0.97, *AS_PUBLISHED[1000][0][2:])
    assert judge(make_points({10: AS_PUBLISHED[10], 1000: (kept, AS_PUBLISHED[1000][1])}))[
        1
    ].verdict == ("not reproduced")


def test_a_random_wide_net_no_better_than_a_narrow_one_refutes_claim_3() -> None:
    flat = (*AS_PUBLISHED[1000][0][:-1], 0.08)
    found = judge(make_points({10: AS_PUBLISHED[10], 1000: (flat, AS_PUBLISHED[1000][1])}))
    assert found[3].verdict == "not reproduced"
    assert [finding.verdict for finding in found[3].findings] == ["not reproduced", "reproduced"]


def test_a_tenth_that_is_not_enough_refutes_claim_4() -> None:
    short = (0.20, 0.2, 0.3, 0.5, 0.8, 0.9, 0.97, 0.97)
    found = judge(make_points({10: AS_PUBLISHED[10], 1000: (AS_PUBLISHED[1000][0], short)}))
    assert found[4].verdict == "not reproduced"


@pytest.mark.parametrize(
    ("changes", "claims"),
    [
        ({"modes": ("lazy",)}, {3, 4}),
        ({"modes": ("active",)}, {1, 2, 3}),
        ({"depth": 4}, {1, 2, 3}),
    ],
    ids=["lazy", "active", "deep"],
)
def test_an_experiment_is_judged_only_on_what_it_measured(
    changes: dict[str, Any], claims: set[int]
) -> None:
    assert set(judge(make_points(AS_PUBLISHED, **changes))) == claims


def test_other_models_are_not_judged() -> None:
    points = make_points({8: AS_PUBLISHED[10]}, model={"name": "conv_net", "width": 8})
    assert judge(points) == {}


def test_narrow_nets_are_inconclusive_on_claims_about_wide_nets() -> None:
    found = judge(make_points({10: AS_PUBLISHED[10], 100: AS_PUBLISHED[1000]}))
    assert {found[claim].verdict for claim in (2, 3, 4)} == {"inconclusive"}
    assert "width of 1,000 or more" in found[2].reason


def test_nets_that_did_not_train_are_inconclusive() -> None:
    found = judge(make_points(AS_PUBLISHED, outcome="not_finite"))
    assert {found[claim].verdict for claim in (1, 2, 3, 4)} == {"inconclusive"}


def test_missing_fractions_are_inconclusive() -> None:
    curves = {width: (active[::7], lazy[::7]) for width, (active, lazy) in AS_PUBLISHED.items()}
    found = judge(make_points(curves, fractions=(0.0, 100.0)))
    assert {claim: found[claim].verdict for claim in (1, 2, 4)} == dict.fromkeys(
        (1, 2, 4), "inconclusive"
    )


def test_on_fashion_mnist_the_narrow_net_is_that_of_figure_16() -> None:
    curves = {10: AS_PUBLISHED[10], 20: AS_PUBLISHED[10], 1000: AS_PUBLISHED[1000]}
    found = judge(make_points(curves, data={"name": "fashion_mnist"}))
    assert "the trained net of width 20 " in found[3].findings[1].statement
    without = judge(
        make_points(AS_PUBLISHED | {100: AS_PUBLISHED[10]}, data={"name": "fashion_mnist"})
    )
    assert "the narrow net has width 100 instead of 20" in without[3].departures
    assert not any("narrow net" in departure for departure in without[1].departures)


def test_points_that_differ_in_more_than_the_width_are_judged_separately() -> None:
    points = [*make_points(AS_PUBLISHED), *make_points(AS_PUBLISHED, epochs=3)]
    verdicts = judge_points(points, get_kind("reinit_sweep").summarize(points))
    assert sorted(verdict.claim for verdict in verdicts) == [1, 1, 2, 2, 3, 3, 4, 4]


def test_the_kind_train_is_judged_on_claim_3() -> None:
    points = []
    for index, (width, start, end) in enumerate(((10, 0.1, 0.9), (1000, 0.2, 0.97))):
        seed_results: list[SeedResult] = [
            TrainSeedResult(
                seed=seed,
                outcome="trained",
                test_accuracy=end + seed / 1000,
                initial_test_accuracy=start + (seed - 1) ** 2 / 1000,
                train_loss=0.1,
                timings=Timings(),
            )
            for seed in range(3)
        ]
        spec = parse_spec({"kind": "train", "model": {"name": "relu_net", "width": width}})
        points.append(FinishedPoint(index, {"model.width": width}, spec, seed_results))
    judge_train = get_kind("train").load_judge()
    assert judge_train is not None
    (verdict,) = judge_train(points, get_kind("train").summarize(points))
    assert (verdict.claim, verdict.verdict, verdict.decided_by) == (3, "not reproduced", "theory")
    assert [finding.decided_by for finding in verdict.findings] == ["theory", "measurement"]
    assert verdict.findings[1].verdict == "reproduced"


RANDOM_NETS: list[dict[str, Any]] = [
    {"reset_to": {"name": "init"}},
    {"reset_to": {"name": "fresh"}},
    {"reset_to": {"name": "init"}, "init": {"name": "xavier", "gain": 3.0}},
]
OTHER_NETS: list[dict[str, Any]] = [
    {"reset_to": {"name": "epoch", "epoch": 1}},
    {"reset_to": {"name": "step", "step": 20}},
    {"reset_to": {"name": "zero"}},
    {"reset_to": {"name": "init"}, "init": {"name": "checkpoint", "checkpoint": "theta"}},
]


@pytest.mark.parametrize("seeds", [2, 5])
@pytest.mark.parametrize("parts", RANDOM_NETS, ids=["init", "fresh", "gain"])
def test_theory_decides_what_is_claimed_of_random_nets(parts: dict[str, Any], seeds: int) -> None:
    """Whatever was measured: these curves would reproduce the claims."""
    found = judge(make_points(AS_PUBLISHED, seeds=seeds, **parts))
    for claim in (2, 3):
        assert (found[claim].verdict, found[claim].decided_by) == ("not reproduced", "theory")
        assert "exchangeable" in found[claim].sentence
        assert found[claim].interval is not None, "the measured interval is told too"
        assert "Measured: " in found[claim].sentence
    assert found[3].findings[1].decided_by == "measurement"
    assert found[1].decided_by == found[4].decided_by == "measurement"


@pytest.mark.parametrize("parts", OTHER_NETS, ids=["epoch", "step", "zero", "checkpoint"])
def test_theory_says_nothing_of_other_nets(parts: dict[str, Any]) -> None:
    found = judge(make_points(AS_PUBLISHED, **parts))
    assert {verdict.decided_by for verdict in found.values()} == {"measurement"}
    assert found[2].verdict == found[3].verdict == "reproduced"


@pytest.mark.parametrize(
    ("parts", "reason", "claims"),
    [
        ({"scope": ["layers.0"]}, "only parameters of layers.0 were reset", {1, 2, 3, 4}),
        ({"criterion": "random"}, "the parameters were ranked by random", {1, 2, 4}),
        ({"criterion": "magnitude"}, "the parameters were ranked by magnitude", {1, 2, 4}),
    ],
)
def test_curves_of_other_parameters_decide_no_claim_on_those_that_moved_most(
    parts: dict[str, Any], reason: str, claims: set[int]
) -> None:
    """Nor does theory: with the top layer trained the outputs are not exchangeable."""
    for reset_to in ({"name": "init"}, {"name": "epoch", "epoch": 1}):
        found = judge(make_points(AS_PUBLISHED, **parts, reset_to=reset_to))
        undecided = {claim for claim, one in found.items() if reason in one.sentence}
        assert undecided == claims
        for claim in claims:
            assert (found[claim].verdict, found[claim].decided_by) == (
                "inconclusive",
                "measurement",
            )


def test_claims_2_and_3_are_about_the_net_reset_to() -> None:
    found = judge(make_points(AS_PUBLISHED))
    assert "Nets after epoch 1: test accuracy at width 1,000" in found[3].findings[0].statement
    assert "the net after epoch 1 (gamma = 100 %)" in found[2].sentence
    curves = {width: (active[:-1], lazy[1:]) for width, (active, lazy) in AS_PUBLISHED.items()}
    without_end = judge(make_points(curves, fractions=FRACTIONS[:-1], modes=("active",)))
    assert {without_end[claim].verdict for claim in (2, 3)} == {"inconclusive"}
    assert without_end[3].value is None, "the accuracy of theta_0 does not stand in for it"


def test_a_verdict_tells_its_answer_in_one_sentence() -> None:
    verdict = judge(make_points(AS_PUBLISHED))[1]
    assert verdict.sentence == (
        "At width 1,000, resetting the 0.1 % most active parameters lowers test accuracy by "
        "2.3 points (95 % interval 1.6 to 3.0, 5 seeds), as the paper says; 2 more findings agree."
    )
    assert (verdict.n, verdict.confidence, verdict.scale) == (5, 0.95, "reduced")
    kept = (0.95, 0.97, *AS_PUBLISHED[1000][0][2:])
    refuted = judge(make_points({10: AS_PUBLISHED[10], 1000: (kept, AS_PUBLISHED[1000][1])}))[1]
    assert "raises test accuracy by 1.7 points" in refuted.sentence
    assert refuted.sentence.endswith(", against the paper.")


def test_a_verdict_has_the_reading_and_the_scale_of_its_points() -> None:
    parts: dict[str, Any] = {
        "data": {"name": "mnist", "train_size": 10_000, "normalization": "unit"},
        "epochs": 100,
    }
    widest = {10: AS_PUBLISHED[10], 100_000: AS_PUBLISHED[1000]}
    for curves, seeds, scale in (
        (widest, 5, "paper"),
        (widest, 3, "reduced"),
        (AS_PUBLISHED, 5, "reduced"),
    ):
        for verdict in judge(make_points(curves, seeds=seeds, **parts)).values():
            assert (verdict.reading, verdict.scale) == ("first_epoch", scale)
    mixed = judge(make_points(AS_PUBLISHED, **parts, optimizer={"name": "adam", "lr": 0.02}))
    assert {verdict.reading for verdict in mixed.values()} == {None}


def test_each_departure_of_the_nets_is_told_once() -> None:
    for verdict in judge(make_points(AS_PUBLISHED, depth=3)).values():
        assert verdict.departures.count("depth 3 instead of 1 or 4") == 1
        assert len(set(verdict.departures)) == len(verdict.departures)


def test_a_higher_confidence_decides_less() -> None:
    points = make_points(AS_PUBLISHED)
    found = judge_points(points, get_kind("reinit_sweep").summarize(points), 0.99999)
    assert {verdict.confidence for verdict in found} == {0.99999}
    assert "inconclusive" in {verdict.verdict for verdict in found}
    assert "99.999 % interval" in found[0].sentence


def test_other_nets_stand_beside_claims_on_the_widest_and_decide_nothing() -> None:
    level = ((0.97, 0.95, 0.50, 0.20, 0.08, 0.08, 0.08, 0.08), AS_PUBLISHED[1000][1])
    with_others = {100: AS_PUBLISHED[1000], 1000: level, 10_000: AS_PUBLISHED[1000]}
    verdicts = judge(make_points(with_others))
    alone = judge(make_points({10_000: AS_PUBLISHED[1000]}))
    for claim in (1, 2, 4):
        beside = [one for one in verdicts[claim].findings if one.role == "beside"]
        assert [one.statement.split(":")[0] for one in beside] == ["Width 1,000", "Width 100"]
        assert verdicts[claim].verdict == alone[claim].verdict == "reproduced"
    rises = [one for one in verdicts[2].findings if one.role == "beside"]
    assert [one.verdict for one in rises] == ["inconclusive", "reproduced"]
    theory = judge(make_points(with_others, reset_to={"name": "init"}))[2]
    assert [one.role for one in theory.findings] == ["part"], "theory decides every width"


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ((-0.000041, 0.00212), "0.00 to 0.21"),
        ((-0.0004, 0.0212), "0.0 to 2.1"),
        ((-0.004, 0.212), "0 to 21"),
        ((-0.0484, 0.0032), "-4.8 to 0.3"),
    ],
)
def test_the_ends_of_an_interval_are_told_apart_and_never_as_minus_zero(
    ends: tuple[float, float], told: str
) -> None:
    statistic = Statistic(mean=0.001, standard_error=None, ci95=None, n=5)
    measurement = Measurement(
        "", statistic, Wording("It is {}"), below=0.0, interval=lambda _: ends
    )
    verdict = conclude(CLAIMS[0], [measurement], Subject(specs=(), num_seeds=5))
    assert f"(95 % interval {told}, 5 seeds)" in verdict.sentence


@pytest.mark.parametrize("value", [0.0, 1e-9, -1e-9])
@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"below": 0.0}, "It falls by 0 points (95 % interval -86 to 0, 5 seeds)"),
        ({"above": 0.0}, "It rises by 0 points (95 % interval 0 to 86, 5 seeds)"),
    ],
)
def test_a_value_of_zero_is_told_in_the_direction_of_the_claim(
    value: float, bounds: Mapping[str, Any], told: str
) -> None:
    measurement = Measurement(
        "",
        Statistic(mean=value, standard_error=None, ci95=None, n=5),
        Wording("It rises by {}", "It falls by {}"),
        interval=lambda _: (0.0, 0.86),
        **bounds,
    )
    verdict = conclude(CLAIMS[0], [measurement], Subject(specs=(), num_seeds=5))
    assert verdict.sentence.startswith(told)


def test_the_random_control_stands_beside_claim_1_and_decides_nothing() -> None:
    with_control = judge(make_points(AS_PUBLISHED, modes=("active", "lazy", "random")))[1]
    without = judge(make_points(AS_PUBLISHED))[1]
    beside = [one for one in with_control.findings if "at random" in one.statement]
    assert {one.role for one in beside} == {"beside"}
    assert len(beside) == 6, "0.1, 1 and 10 % of two nets"
    assert {finding.verdict for finding in beside} == {"reproduced"}
    assert (with_control.verdict, with_control.sentence) == (without.verdict, without.sentence)
    harmless = {width: ((0.999,) * 8, lazy) for width, (_, lazy) in AS_PUBLISHED.items()}
    refuted = judge(make_points(harmless, noise=1e-4, modes=("active", "random")))[1]
    assert [one.verdict for one in refuted.findings if "at random" in one.statement][2::3] == [
        "not reproduced"
    ] * 2


def test_a_low_point_far_from_the_claimed_one_refutes_claim_1_by_its_guard() -> None:
    late = (0.97, 0.95, 0.9, 0.88, 0.8, 0.5, 0.85, 0.9)
    verdict = judge(make_points({10: AS_PUBLISHED[10], 1000: (late, AS_PUBLISHED[1000][1])}))[1]
    assert verdict.verdict == "not reproduced"
    assert [one.verdict for one in verdict.findings if one.role == "part"] == ["reproduced"] * 3
    (guard,) = (one for one in verdict.findings if one.role == "guard")
    assert guard.verdict == "not reproduced"
    assert "any other gamma" in verdict.reason
