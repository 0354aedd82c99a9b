"""The kind `reinit_sweep`: spec errors, trainings shared with `train`, resumption, results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from engine.cost import estimate
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import InvalidSpec, RunInterrupted
from engine.experiments.registry import get_kind, parse_spec
from engine.experiments.reinit_sweep.result import ReinitPointResult
from engine.experiments.reinit_sweep.run import run
from engine.experiments.reinit_sweep.spec import ReinitSweepSpec
from engine.experiments.reinit_sweep.sweep import NOT_FINITE
from engine.experiments.train.run import run as run_train
from engine.experiments.train.spec import TrainSpec
from engine.kind import FinishedPoint, Preset
from engine.result import SeedResult
from engine.spec import Execution, canonical_json
from engine.sweep import expand
from tests.engine_reinit.watched_context import ContextMaker, SpecMaker, Sweep

FRACTIONS = [0, 0.1, 1, 10, 50, 100]


def presets_of(kind: str) -> list[Preset]:
    return list(get_kind(kind).presets())


def test_every_error_of_a_spec_has_a_pointer() -> None:
    with pytest.raises(InvalidSpec) as raised:
        parse_spec(
            {"kind": "reinit_sweep", "modes": ["active", "active"], "fractions_percent": [5, 1]}
        )
    assert {error.pointer for error in raised.value.errors} == {
        "#/spec/modes/1",
        "#/spec/fractions_percent/1",
    }
    with pytest.raises(InvalidSpec) as raised:
        parse_spec(
            {
                "kind": "reinit_sweep",
                "modes": ["active", "other"],
                "fractions_percent": [-1, 5, 101],
            }
        )
    assert {error.pointer for error in raised.value.errors} == {
        "#/spec/modes/1",
        "#/spec/fractions_percent/0",
        "#/spec/fractions_percent/2",
    }


def find_errors(*arguments: Any) -> set[tuple[str, str, str]]:
    with pytest.raises(InvalidSpec) as raised:
        expand(*arguments)
    return {(error.pointer, error.code, error.detail) for error in raised.value.errors}


def test_what_does_not_fit_is_told_at_once_at_its_field() -> None:
    body = {"kind": "reinit_sweep", "epochs": 5, "checkpoints": {"epochs": [7, 1]}}
    body |= {"reset_to": {"name": "epoch", "epoch": 6}, "scope": ["layers.9", "layers.0", "top"]}
    late = "is beyond the training's 5 epochs; name an earlier one, or train for more epochs"
    unknown = "is no layer of the net; name one of layers.0 to layers.1"
    assert find_errors(body, {}) == {
        ("#/spec/checkpoints/epochs/0", "beyond-the-training", f"epoch 7 {late}"),
        ("#/spec/reset_to/epoch", "beyond-the-training", f"epoch 6 {late}"),
        ("#/spec/scope/0", "no-such-layer", f"'layers.9' {unknown}"),
        ("#/spec/scope/2", "no-such-layer", f"'top' {unknown}"),
    }
    axes: dict[str, Any] = {
        "reset_to": [{"name": "init"}, body["reset_to"]],
        "scope": ["global", body["scope"]],
        "checkpoints.epochs": [[1], [2, 7]],
    }
    assert find_errors({"kind": "reinit_sweep", "epochs": 5}, axes) == {
        ("#/sweep/checkpoints.epochs/1/1", "beyond-the-training", f"epoch 7 {late}"),
        ("#/sweep/reset_to/1/epoch", "beyond-the-training", f"epoch 6 {late}"),
        ("#/sweep/scope/1/0", "no-such-layer", f"'layers.9' {unknown}"),
        ("#/sweep/scope/1/2", "no-such-layer", f"'top' {unknown}"),
    }


def test_a_repeated_mode_is_named() -> None:
    assert find_errors({"kind": "reinit_sweep", "modes": ["lazy", "active", "lazy"]}, {}) == {
        ("#/spec/modes/2", "repeated", "'lazy' occurs more than once; leave it out here")
    }


def test_two_points_with_the_same_layers_in_another_order_are_refused() -> None:
    axis = [["layers.0", "layers.1"], ["layers.1", "layers.0", "layers.0"]]
    (error,) = find_errors({"kind": "reinit_sweep"}, {"scope": axis})
    assert error[:2] == ("#/sweep/scope/1", "duplicate-value")


@pytest.mark.parametrize(
    "parts",
    [
        {"modes": []},
        {"fractions_percent": []},
        {"fractions_percent": [1, 1]},
        {"fractions_percent": [index / 4 for index in range(255)]},
        {"fractions_percent": [float("nan")]},
        {"fractions_percent": ["1"]},
    ],
    ids=["no mode", "no fraction", "twice", "too many", "nan", "text"],
)
def test_a_spec_out_of_range_is_invalid(parts: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec):
        parse_spec({"kind": "reinit_sweep", **parts})


def test_a_spec_may_have_as_many_fractions_as_cuts() -> None:
    spec = parse_spec(
        {"kind": "reinit_sweep", "fractions_percent": [index / 4 for index in range(254)]}
    )
    assert spec.work(BUILTIN_DATASETS["digits"]).test_evaluations > 0


@pytest.mark.parametrize("scale", ["paper", "quick"])
@pytest.mark.parametrize(
    ("figure", "bars"),
    [
        ("fig2", "fig4a"),
        ("fig3", "fig4b"),
        ("fig14a", "fig16a"),
        ("fig14b", "fig16b"),
        ("fig15a", "fig16a"),
        ("fig15b", "fig16b"),
    ],
)
def test_figures_of_the_same_nets_have_the_same_trainings(
    figure: str, bars: str, scale: str
) -> None:
    digests = []
    for kind, name in (("reinit_sweep", figure), ("train", bars)):
        (preset,) = [one for one in presets_of(kind) if one.name == name and one.scale == scale]
        points = expand(preset.body["spec"], preset.body["sweep"])
        execution = Execution.model_validate({**preset.body.get("execution", {}), "device": "cpu"})
        digests.append(
            {
                point.spec.training_digest(seed, execution, "data")
                for point in points
                for seed in preset.body["seeds"]
            }
        )
    assert digests[0] == digests[1]


def test_a_net_that_the_kind_train_has_trained_is_not_trained_again(
    make_context: ContextMaker, make_spec: SpecMaker
) -> None:
    spec = make_spec(fractions_percent=FRACTIONS)
    plain = {name: value for name, value in spec.items() if name != "fractions_percent"} | {
        "kind": "train"
    }
    first = make_context(seeds=(0, 1))
    trained = run_train(TrainSpec.model_validate(plain), first)
    again = make_context(seeds=(0, 1))
    swept = run(ReinitSweepSpec.model_validate(spec), again)
    assert (first.registered, again.registered) == (2, 0)
    assert [seed_result.timings for seed_result in swept] == [
        seed_result.timings for seed_result in trained
    ]
    assert first.metrics() == again.metrics()


def without_times(seed_results: Sequence[SeedResult]) -> list[dict[str, Any]]:
    return [
        seed_result.model_dump(exclude={"sweep_seconds", "timings"}) for seed_result in seed_results
    ]


@pytest.mark.parametrize("model", ["relu_net", "conv_net"])
def test_a_run_killed_in_its_sweep_resumes_from_its_trainings_with_equal_bits(
    sweep: Sweep,
    make_context: ContextMaker,
    make_spec: SpecMaker,
    model: str,
) -> None:
    parts = {"model": {"name": model, "width": 8}, "fractions_percent": FRACTIONS, "epochs": 2}
    whole, ctx = sweep(folder="whole", seeds=(0, 1), **parts)
    spec = ReinitSweepSpec.model_validate(make_spec(**parts))
    for before_end in (1, 3):
        stopped = make_context(f"killed{before_end}", seeds=(0, 1))
        stopped.stop_at = ctx.checks - before_end
        with pytest.raises(RunInterrupted):
            run(spec, stopped)
        assert stopped.registered == 2
        resumed = make_context(f"killed{before_end}", seeds=(0, 1))
        seed_results = run(spec, resumed)
        assert resumed.registered == 0
        assert without_times(seed_results) == without_times(whole)
        for seed in (0, 1):
            kept = [one.read_artifact(seed, "movement.json") for one in (ctx, resumed)]
            assert kept[0] is not None
            assert kept[0] == kept[1]
        assert resumed.metrics() == ctx.metrics()


def test_repeats_and_stacking_change_no_bit(sweep: Sweep) -> None:
    both, _ = sweep(folder="both", seeds=(0, 1), fractions_percent=FRACTIONS)
    alone, _ = sweep(folder="alone", seeds=(1,), fractions_percent=FRACTIONS)
    assert without_times(both[1:]) == without_times(alone)


def test_progress_only_grows_and_ends_near_one(
    make_context: ContextMaker, make_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    ctx = make_context(seeds=(0, 1))

    def append_share(completed: float, total: float, unit: str) -> None:
        shares.append(completed / total)

    monkeypatch.setattr(ctx, "report_progress", append_share)
    model = {"name": "conv_net", "width": 4}
    spec = ReinitSweepSpec.model_validate(make_spec(fractions_percent=FRACTIONS, model=model))
    run(spec, ctx)
    assert shares == sorted(shares)
    assert 0.9 < shares[-1] <= 1
    assert len([share for share in shares if share > 0.5]) > 5


def test_a_seed_that_did_not_train_is_swept_with_a_note(sweep: Sweep) -> None:
    optimizer = {"name": "sgd", "lr": 100.0}
    (seed_result,), ctx = sweep(
        model={"name": "relu_net", "width": 20, "depth": 3},
        optimizer=optimizer,
        fractions_percent=FRACTIONS,
    )
    assert seed_result.outcome == "not_finite"
    assert NOT_FINITE in seed_result.notes
    active, lazy = seed_result.curves
    assert active.test_accuracy[-1] == lazy.test_accuracy[0] == seed_result.initial_test_accuracy
    movement = ctx.read_artifact(0, "movement.json")
    assert movement is not None
    assert b"null" in movement


def test_movement_counts_add_up_over_the_layers(sweep: Sweep) -> None:
    (seed_result,), ctx = sweep(fractions_percent=FRACTIONS)
    artifact = ctx.read_artifact(0, "movement.json")
    assert artifact is not None
    movement = json.loads(artifact)
    by_layer = [layer["counts"] for layer in movement["layers"]]
    assert [sum(column) for column in zip(*by_layer, strict=True)] == movement["counts"]
    assert movement["counts"][-1] == movement["num_parameters"] == seed_result.num_parameters
    thresholds = movement["thresholds"]
    assert thresholds[0] is None
    assert thresholds[1:] == sorted(thresholds[1:], reverse=True)


def test_a_point_result_holds_a_statistic_over_seeds_for_each_fraction(
    sweep: Sweep, make_spec: SpecMaker
) -> None:
    seed_results, _ = sweep(seeds=(0, 1, 2), modes=["lazy"], fractions_percent=[1, 1.001, 20])
    spec = parse_spec(make_spec(modes=["lazy"], fractions_percent=[1, 1.001, 20]))
    (summary,) = get_kind("reinit_sweep").summarize([FinishedPoint(0, {}, spec, seed_results)])
    assert isinstance(summary, ReinitPointResult)
    (curve,) = summary.curves
    assert curve.mode == "lazy"
    assert curve.counts[0] == curve.counts[1] == round(0.01 * summary.num_parameters)
    assert curve.test_accuracy[0] == curve.test_accuracy[1]
    values = [seed_result.curves[0].test_accuracy[2] for seed_result in seed_results]
    assert curve.test_accuracy[2].mean == pytest.approx(sum(values) / 3, abs=1e-15)
    assert curve.test_accuracy[2].n == 3
    canonical_json(summary.model_dump(mode="json"))


def test_the_cost_includes_the_sweep() -> None:
    plain, swept = (
        estimate(parse_spec({"kind": kind, "epochs": 1}), 1, BUILTIN_DATASETS["digits"])
        for kind in ("train", "reinit_sweep")
    )
    assert swept.evaluation_flops > 10 * plain.evaluation_flops
    assert swept.train_flops == plain.train_flops
