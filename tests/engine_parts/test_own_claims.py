"""Claims of a submission: which quantities they may name, and verdicts computed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from engine.analysis.pairs import compare_pairs, pair_by_seed
from engine.answers import explain_unknown_quantity
from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.activity_map.result import ActivityMapSeedResult, LayerActivity
from engine.experiments.lws.result import LwsSeedResult
from engine.experiments.registry import get_kind, parse_spec
from engine.experiments.train.result import TrainSeedResult
from engine.kind import FinishedPoint
from engine.own_claims import judge
from engine.own_claims.claim import OwnClaim
from engine.own_claims.judge import OwnVerdict, judge_own_claims
from engine.own_claims.quantities import list_claimable
from engine.paper.comparison import compare
from engine.paper.looks import confidence_of_look, read_look
from engine.paper.verdict import Measurement
from engine.result import PointResult, SeedResult, Timings

WIDE, NARROW = [0.90, 0.91, 0.92], [0.80, 0.82, 0.84]
"""Means 0.91 and 0.82. Both the wide values and the differences have the standard deviation 0.01,
so the standard error 0.01 / sqrt(3) and, with t = 4.302653 of 2 degrees of freedom, the 95 %
interval mean ± 0.024841."""
REACH = 0.024841


def results_of(
    accuracies: Sequence[float],
    losses: Sequence[float | None] = (),
    seconds: Sequence[float] = (),
    stacked: int = 1,
) -> list[SeedResult]:
    return [
        TrainSeedResult(
            seed=seed,
            outcome="trained",
            test_accuracy=accuracy,
            initial_test_accuracy=0.1,
            train_loss=losses[seed] if losses else 0.5,
            timings=Timings(
                forward_seconds=seconds[seed] if seconds else 1.0, stacked_seeds=stacked
            ),
        )
        for seed, accuracy in enumerate(accuracies)
    ]


def points_of(*results: list[SeedResult]) -> list[FinishedPoint]:
    """Points of a sweep of the width, 10 first, then 100."""
    widths = (10, 100)
    return [
        FinishedPoint(
            index,
            {"model.width": width} if len(results) > 1 else {},
            parse_spec({"kind": "train", "model": {"width": width}}),
            of_point,
        )
        for index, (width, of_point) in enumerate(zip(widths, results, strict=False))
    ]


def judge_one(
    points: Sequence[FinishedPoint], confidence: float = 0.95, kind: str = "train", **claim: Any
) -> OwnVerdict:
    claims = [OwnClaim(name="mine", **({"quantity": "test_accuracy"} | claim))]
    found = get_kind(kind)
    (verdict,) = judge_own_claims(found, points, found.summarize(points), claims, confidence)
    return verdict


ALONE_AND_PAIRED: tuple[dict[str, Any], ...] = ({"point": 1}, {"point": 1, "versus": 0})
BOTH = points_of(results_of(NARROW), results_of(WIDE))


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        ({"at_least": 0.885}, "reproduced"),
        ({"at_least": 0.886}, "inconclusive"),
        ({"at_least": 0.934}, "inconclusive"),
        ({"at_least": 0.935}, "not reproduced"),
        ({"at_most": 0.935}, "reproduced"),
        ({"at_most": 0.934}, "inconclusive"),
        ({"at_most": 0.885}, "not reproduced"),
        ({"within": (0.885, 0.935)}, "reproduced"),
        ({"within": (0.886, 0.935)}, "inconclusive"),
        ({"within": (0.885, 0.934)}, "inconclusive"),
        ({"within": (0.94, 0.95)}, "not reproduced"),
        ({"within": (0.1, 0.2)}, "not reproduced"),
    ],
)
def test_the_whole_interval_of_a_mean_decides(bounds: dict[str, Any], verdict: str) -> None:
    found = judge_one(points_of(results_of(WIDE)), **bounds)
    assert found.verdict == verdict
    assert found.value == pytest.approx(0.91)
    assert found.interval == pytest.approx((0.91 - REACH, 0.91 + REACH), abs=1e-6)
    assert (found.n, found.unit, found.point, found.versus) == (3, "accuracy", {}, None)


@pytest.mark.parametrize(
    ("at_least", "verdict"),
    [(0.065, "reproduced"), (0.066, "inconclusive"), (0.115, "not reproduced")],
)
def test_a_difference_is_paired_by_seed(at_least: float, verdict: str) -> None:
    """The values of the narrow net alone have twice the spread of the differences."""
    found = judge_one(BOTH, point=1, versus=0, at_least=at_least)
    assert found.verdict == verdict
    assert found.value == pytest.approx(0.09)
    assert found.interval == pytest.approx((0.09 - REACH, 0.09 + REACH), abs=1e-6)
    assert (found.unit, found.point, found.versus) == (
        "difference",
        {"model.width": 100},
        {"model.width": 10},
    )


@pytest.mark.parametrize("quantity", ["test_accuracy", "initial_test_accuracy", "train_loss"])
def test_differences_are_those_of_the_call_difference(quantity: str) -> None:
    points = points_of(
        results_of(NARROW, losses=[0.5, 0.4, 0.7]), results_of(WIDE, losses=[0.3, 0.1, 0.2])
    )
    pairs = pair_by_seed(points[1].results, points[0].results)
    expected = compare_pairs(pairs).difference[quantity]
    found = judge_one(points, quantity=quantity, point=1, versus=0, at_most=0.5)
    assert (found.value, found.interval, found.n) == (expected.mean, expected.ci95, expected.n)


def test_seeds_that_only_one_point_has_are_not_paired() -> None:
    points = points_of(results_of(NARROW), results_of([*WIDE, 0.1, 0.1]))
    found = judge_one(points, point=1, versus=0, at_least=0.065)
    assert (found.verdict, found.n) == ("reproduced", 3)


def test_a_sentence_tells_value_interval_seeds_and_what_follows() -> None:
    assert judge_one(BOTH, point=1, at_least=0.88).sentence == (
        "Test accuracy at width 100 is 91.00 % (95 % interval 88.52 to 93.48, n = 3), as claimed: "
        "at least 88 %."
    )
    assert judge_one(BOTH, point=1, versus=0, within=(0.2, 0.3)).sentence == (
        "Test accuracy at width 100 less that at width 10, paired by seed, is 9.00 points "
        "(95 % interval 6.52 to 11.48, n = 3), against the claim: between 20 and 30 points."
    )
    found = judge_one(BOTH, quantity="train_loss", at_most=0.5)
    assert found.sentence == (
        "Train loss at width 10 is 0.5 (no spread, n = 3), which does not decide the claim: "
        "at most 0.5."
    )
    assert found.reason == "no spread: all 3 values are equal, and they are too few to decide"


def test_a_value_at_the_bound_agrees_with_the_claim() -> None:
    """Six equal values decide, and the claim says at least: not above."""
    perfect = points_of(results_of([1.0] * 6))
    assert judge_one(perfect, at_least=1.0).verdict == "reproduced"
    assert judge_one(perfect, at_most=0.99).verdict == "not reproduced"
    twice = points_of(results_of([0.9] * 6), results_of([0.9] * 6))
    for bounds in ({"at_least": 0.0}, {"at_most": 0.0}, {"within": (0.0, 0.1)}):
        assert judge_one(twice, point=1, versus=0, **bounds).verdict == "reproduced"
    tenth = points_of(results_of([0.8] * 6), results_of([0.9] * 6))
    assert 0.9 - 0.8 < 0.1, "by rounding"
    assert judge_one(tenth, point=1, versus=0, at_least=0.1).verdict == "reproduced"


def test_an_exclusive_bound_would_refute_a_value_at_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exclusive(*args: Any, is_inclusive: bool, **fields: Any) -> Measurement:
        return Measurement(*args, **fields)

    monkeypatch.setattr(judge, "Measurement", exclusive)
    assert judge_one(points_of(results_of([1.0] * 6)), at_least=1.0).verdict == "not reproduced"


def test_two_seeds_decide_nothing() -> None:
    found = judge_one(points_of(results_of([0.9, 0.9001])), at_least=0.1)
    assert found.verdict == "inconclusive"
    assert found.sentence.endswith("; a verdict on at least 10 % needs 3 seeds.")


def test_a_quantity_that_some_seed_lacks_has_no_value() -> None:
    """The seeds that have one are a choice: those that did well."""
    points = points_of(results_of(NARROW, [0.5, 0.5, 0.5]), results_of(WIDE, [0.1, 0.1, None]))
    for claim in ALONE_AND_PAIRED:
        found = judge_one(points, quantity="train_loss", at_most=10.0, **claim)
        assert (found.verdict, found.value, found.n) == ("inconclusive", None, 0)
        assert found.reason == "the result at width 100 has no train_loss"
    assert judge_one(points, quantity="train_loss", at_least=0.1).verdict == "inconclusive"


def test_seeds_without_a_value_are_counted() -> None:
    """A seed in which no parameter was active has no share of active ones."""
    layer = LayerActivity(name="layers.0", shape=None, parameters=10, active={"1": 1})
    none = layer.model_copy(update={"active": {"1": 0}})
    spec = parse_spec({"kind": "activity_map", "alphas_percent": [1.0]})
    points = [
        FinishedPoint(
            index,
            {"epochs": index},
            spec,
            [
                ActivityMapSeedResult(
                    **one.model_dump(),
                    alphas_percent=(1.0,),
                    num_epochs=1,
                    layers=(none if (index, one.seed) == (1, 2) else layer,),
                    tied={"1": 0},
                    zeros=0,
                )
                for one in results_of(WIDE)
            ],
        )
        for index in range(2)
    ]
    for claim in ALONE_AND_PAIRED:
        found = judge_one(
            points, kind="activity_map", quantity="share_of_layers.0_at_alpha_1", at_most=1, **claim
        )
        assert (found.verdict, found.value, found.n) == ("inconclusive", None, 0)
        assert found.reason == "1 of 3 seeds has no share_of_layers.0_at_alpha_1"


def test_the_movement_of_a_kernel_can_be_more_than_the_whole() -> None:
    """Shares of a whole end at 1: the interval of the claim did, and was below its own mean."""

    def moved(*distances: float) -> list[SeedResult]:
        return [
            one.model_copy(update={"probes": {"kernel_distance": distance}})
            for one, distance in zip(results_of(WIDE), distances, strict=True)
        ]

    points = points_of(moved(3.0, 3.0, 3.0), moved(8.0, 8.1, 8.2))
    for claim, value in zip(ALONE_AND_PAIRED, (8.1, 5.1), strict=True):
        found = judge_one(points, quantity="kernel_distance", at_least=2.0, **claim)
        assert found.value == pytest.approx(value)
        assert found.verdict == "reproduced"
        reach = 10 * REACH
        assert found.interval == pytest.approx((value - reach, value + reach), abs=1e-5)


def test_a_point_is_summarised_once_whatever_its_claims_and_seeds() -> None:
    """A summary for each seed made one request of 40 points and 1,000 seeds take half a minute."""
    points = points_of(results_of([0.5] * 50), results_of([0.6] * 50))
    summarised: list[int] = []

    def count(some: Sequence[FinishedPoint]) -> list[PointResult]:
        summarised.extend(point.index for point in some)
        return get_kind("train").summarize(some)

    kind = replace(get_kind("train"), summarize=count)
    claims = [
        OwnClaim(name=quantity, quantity=quantity, point=1, versus=0, at_least=0.05)
        for quantity in ("test_accuracy", "train_loss", "train_seconds")
    ]
    summary = get_kind("train").summarize(points)
    verdicts = judge_own_claims(kind, points, summary, claims)
    assert [verdict.n for verdict in verdicts] == [50, 50, 50]
    assert sorted(summarised) == [0, 1]


def test_a_point_without_finished_seeds_has_no_value() -> None:
    found = judge_one(points_of(results_of(NARROW), []), point=1, at_least=0.5)
    assert found.reason == "no seed has finished at width 100"
    found = judge_one(points_of(results_of(NARROW), []), point=1, versus=0, at_least=0.5)
    assert found.verdict == "inconclusive"


def test_seeds_of_one_stack_are_one_measurement_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six equal shares of one measured time would decide; one measurement cannot."""
    stacked = points_of(
        results_of([0.9] * 6, seconds=[1.0] * 6, stacked=6),
        results_of([0.9] * 6, seconds=[2.0] * 6, stacked=6),
    )
    for claim in ALONE_AND_PAIRED:
        found = judge_one(stacked, quantity="train_seconds", at_least=0.5, **claim)
        assert (found.verdict, found.n) == ("inconclusive", 1)
    lws = get_kind("lws")
    points = [
        FinishedPoint(
            0,
            {},
            parse_spec({"kind": "lws"}),
            [
                LwsSeedResult(
                    **one.model_dump(),
                    epochs_by_lowest_layer=(1,),
                    cumulative_backward_seconds=(1.0,),
                    cumulative_train_seconds=(1.0,),
                )
                for one in results_of([0.9] * 6, seconds=[2.0] * 6, stacked=6)
            ],
        )
    ]
    of_lws: dict[str, Any] = {"kind": "lws", "quantity": "train_seconds", "at_least": 0.5}
    assert lws.summarize(points)[0].train_seconds.n == 6  # type: ignore[attr-defined]
    assert judge_one(points, **of_lws).n == 1
    monkeypatch.setattr(judge, "measured_apart", lambda results, _: results)
    assert judge_one(points, **of_lws).verdict == "reproduced", "what the protection prevents"


def test_a_higher_confidence_needs_more() -> None:
    confidence = confidence_of_look(8)
    found = judge_one(points_of(results_of(WIDE)), confidence, at_least=0.88)
    assert (found.verdict, found.confidence) == ("inconclusive", confidence)
    assert "99.375 % interval" in found.sentence


def test_own_claims_alone_decide_a_look() -> None:
    kind, summary = get_kind("train"), get_kind("train").summarize(BOTH)

    def look(*claims: dict[str, Any]) -> Any:
        found = compare(
            kind,
            BOTH,
            summary,
            claims=[
                OwnClaim(name=str(at), quantity="test_accuracy", **claim)
                for at, claim in enumerate(claims)
            ],
        )
        return read_look([], found.own_verdicts)

    decided = look({"at_least": 0.1}, {"at_least": 0.99})
    assert (decided.decided, decided.is_open) == (True, False)
    undecided = look({"at_least": 0.1}, {"at_least": 0.82})
    assert (undecided.decided, undecided.is_open) == (False, True)
    hopeless = read_look([], [judge_one(BOTH, quantity="train_los", at_least=0.5)])
    assert (hopeless.decided, hopeless.is_open) == (False, False)


def test_a_quantity_that_is_chosen_by_its_value_cannot_be_claimed() -> None:
    spec = parse_spec({"kind": "reinit_sweep"})
    columns = list_claimable(get_kind("reinit_sweep"), spec, BUILTIN_DATASETS["mnist"])
    assert columns is not None
    assert not {"low_point", "low_point_percent"} & {column.name for column in columns}


def test_an_unknown_quantity_gets_a_suggestion() -> None:
    known = ["test_accuracy", "train_loss"]
    assert explain_unknown_quantity("test_acuracy", known) == (
        "unknown quantity 'test_acuracy'; did you mean `test_accuracy`?"
    )
    assert explain_unknown_quantity("zzz", known).endswith("; known: test_accuracy, train_loss")
    assert explain_unknown_quantity("zzz", list(map(str, range(30)))).endswith("19 and 10 more")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"at_least": 0.1, "at_most": 0.2},
        {"within": (0.2, 0.1)},
        {"within": (0.1, 0.1)},
        {"within": (0.1,)},
        {"at_least": float("nan")},
        {"at_least": True},
        {"at_least": 0.1, "point": -1},
        {"at_least": 0.1, "point": 1, "versus": 1},
        {"at_least": 0.1, "versus": 0},
    ],
)
def test_a_claim_has_one_sensible_bound_and_two_points(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OwnClaim(name="mine", quantity="test_accuracy", **wrong)
