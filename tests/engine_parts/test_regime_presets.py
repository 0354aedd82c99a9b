"""The presets that cross the regime with the experiments, and the quantities that they claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.lws.result import LwsSeedResult
from engine.experiments.registry import get_kind, parse_spec, presets
from engine.experiments.reinit_sweep.result import ReinitPointResult, ReinitSeedResult, SeedCurve
from engine.experiments.train.presets import GROKKING_ALPHAS
from engine.kind import FinishedPoint, Preset
from engine.own_claims.claim import OwnClaim
from engine.own_claims.judge import judge_own_claims
from engine.own_claims.quantities import list_claimable
from engine.paper.regime_figures import ALPHA, ALPHAS
from engine.result import SeedResult, Timings
from engine.sweep import expand

NAMES = ("lazy_to_rich", "regime_activity", "regime_lws", "regime_reinit")
CROSSED = [preset for (name, _), preset in presets().items() if name in NAMES]


def test_they_are_at_both_scales_and_the_quick_ones_use_data_that_ship() -> None:
    assert len(CROSSED) == 2 * len(NAMES)
    for preset in CROSSED:
        data = BUILTIN_DATASETS[preset.body["spec"]["data"]["name"]]
        assert (data.source == "embedded") == (preset.scale == "quick")
        assert len(preset.body["seeds"]) >= 5


@pytest.mark.parametrize("preset", CROSSED, ids=lambda one: f"{one.name}-{one.scale}")
def test_every_claim_is_of_the_ends_of_alpha_and_of_a_quantity_that_is_measured(
    preset: Preset,
) -> None:
    """Points that are compared differ in nothing but alpha."""
    points = expand(preset.body["spec"], preset.body["sweep"])
    kind = get_kind(preset.body["spec"]["kind"])
    claims = [OwnClaim.model_validate(one) for one in preset.body["claims"]]
    assert claims[0].versus is not None, "the first one answers the question of the page"
    assert {"kernel_distance"} < {one.quantity for one in claims}
    for claim in claims:
        spec = points[claim.point].spec
        claimable = list_claimable(kind, spec, BUILTIN_DATASETS[spec.data.name])
        assert claimable is not None
        assert claim.quantity in {one.name for one in claimable}
        assert points[claim.point].values[ALPHA] in (ALPHAS[0], ALPHAS[-1])
        if claim.versus is not None:
            rich, lazy = (dict(points[one].values) for one in (claim.point, claim.versus))
            assert (rich.pop(ALPHA), lazy.pop(ALPHA)) == (ALPHAS[0], ALPHAS[-1])
            assert rich == lazy
        elif claim.quantity == "kernel_distance":
            is_rich = points[claim.point].values[ALPHA] == ALPHAS[0]
            assert is_rich == (claim.at_least is not None)


@pytest.mark.parametrize("scale", ["paper", "quick"])
def test_late_generalisation_compares_an_early_with_a_late_epoch(scale: str) -> None:
    preset = presets()["grokking", scale]
    points = expand(preset.body["spec"], preset.body["sweep"])
    kind = get_kind("train")
    early, late = preset.body["sweep"]["epochs"]
    compared = []
    for claim in (OwnClaim.model_validate(one) for one in preset.body["claims"]):
        spec = points[claim.point].spec
        claimable = list_claimable(kind, spec, BUILTIN_DATASETS[spec.data.name])
        assert claimable is not None
        assert claim.quantity in {one.name for one in claimable}
        if claim.versus is not None:
            compared.append(
                [tuple(points[one].values.values()) for one in (claim.point, claim.versus)]
            )
    small, large = GROKKING_ALPHAS
    assert compared == [
        [(large, late), (large, early)],
        [(small, late), (small, early)],
        [(small, early), (large, early)],
    ]
    assert points[0].spec.optimizer.weight_decay == 0.0


def seed_fields(seed: int, accuracy: float) -> dict[str, Any]:
    return {
        "seed": seed,
        "outcome": "trained",
        "test_accuracy": accuracy,
        "initial_test_accuracy": 0.1,
        "train_loss": 0.1,
        "timings": Timings(),
    }


def test_what_is_lost_at_a_fraction_is_paired_by_seed() -> None:
    """Of 0.9 and 0.7, 0.2 and 0.1 are lost at 10 %: 0.15, with a standard error of 0.05."""
    kept = {0.9: (0.9, 0.7), 0.7: (0.7, 0.6)}
    results = [
        ReinitSeedResult(
            **seed_fields(seed, trained),
            num_parameters=100,
            sweep_seconds=1.0,
            curves=(
                SeedCurve(
                    mode="active",
                    fractions_percent=(0.0, 10.0),
                    counts=(0, 10),
                    test_accuracy=accuracies,
                ),
            ),
        )
        for seed, (trained, accuracies) in enumerate(kept.items())
    ]
    point = FinishedPoint(0, {}, parse_spec({"kind": "reinit_sweep"}), results)
    kind = get_kind("reinit_sweep")
    (found,) = kind.summarize([point])
    assert isinstance(found, ReinitPointResult)
    assert found.curves[0].lost.keys() == {"10"}, "0.1 and 1 % were not swept"
    lost = found.curves[0].lost["10"]
    assert (lost.mean, lost.standard_error) == pytest.approx((0.15, 0.05))
    assert lost.n == 2
    columns = {column.name: column for column in kind.read_quantities(found)}
    assert columns["lost_at_gamma_10"].statistic == lost
    stored = found.model_dump(mode="json")
    del stored["curves"][0]["lost"]
    assert "lost_at_gamma_10" not in {column.name for column in kind.read_answer(stored)}


def lws_point(index: int, alpha: float, policy: dict[str, Any], accuracies: Sequence[float]) -> Any:
    spec = {
        "kind": "lws",
        "model": {"name": "relu_net", "depth": 4},
        "output_scale": {"alpha": alpha},
        "policy": policy,
    }
    results: list[SeedResult] = [
        LwsSeedResult(
            **seed_fields(seed, accuracy),
            epochs_by_lowest_layer=(1,),
            cumulative_backward_seconds=(1.0,),
            cumulative_train_seconds=(1.0,),
        )
        for seed, accuracy in enumerate(accuracies)
    ]
    return FinishedPoint(index, {ALPHA: alpha, "policy": policy}, parse_spec(spec), results)


def test_a_difference_to_full_is_compared_between_regimes() -> None:
    """When rich 0.2, 0.3 and 0.25 are lost, when lazy 0.1, 0.1 and 0.1."""
    full, top = {"name": "full"}, {"name": "top_k", "k": 2}
    points = [
        lws_point(0, 0.1, full, (0.9, 0.9, 0.9)),
        lws_point(1, 0.1, top, (0.7, 0.6, 0.65)),
        lws_point(2, 100.0, full, (0.8, 0.85, 0.75)),
        lws_point(3, 100.0, top, (0.7, 0.75, 0.65)),
    ]
    kind = get_kind("lws")
    claim = OwnClaim(name="costs", quantity="difference", point=1, versus=3, at_most=0.0)
    (found,) = judge_own_claims(kind, points, kind.summarize(points), [claim])
    assert found.value == pytest.approx(-0.15)
    assert (found.n, found.unit, found.verdict) == (3, "difference", "reproduced")
