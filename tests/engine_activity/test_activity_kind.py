"""The kind as a whole: its spec, its results by hand, its drawings' numbers, its presets, and the verdict on claim 5."""

from __future__ import annotations

import itertools
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch

from engine.context import RunContext
from engine.cost import estimate
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import InvalidSpec
from engine.experiments.activity_map import KIND, maps, numbers
from engine.experiments.activity_map.judge import judge as judge_points
from engine.experiments.activity_map.result import (
    ActivityMapPointResult,
    ActivityMapSeedResult,
    LayerActivity,
    summarize_points,
)
from engine.experiments.activity_map.run import run
from engine.experiments.registry import parse_spec
from engine.kind import FinishedPoint
from engine.local import LocalExperiment
from engine.paper.preset_deviations import list_preset_deviations
from engine.plotting import PlotOptions, save
from engine.result import Timings

WIDE, NARROW = 100, 10


def make_result(
    seed: int, active: dict[str, list[int]], sizes: list[int], **fields: Any
) -> ActivityMapSeedResult:
    return ActivityMapSeedResult(
        **{
            "seed": seed,
            "outcome": "trained",
            "test_accuracy": 0.9,
            "initial_test_accuracy": 0.1,
            "train_loss": 0.1,
            "timings": Timings(),
            "alphas_percent": tuple(float(alpha) for alpha in active),
            "num_epochs": 4,
            "layers": tuple(
                LayerActivity(
                    name=f"layers.{index}",
                    shape=(size, 1),
                    parameters=size,
                    active={alpha: counts[index] for alpha, counts in active.items()},
                )
                for index, size in enumerate(sizes)
            ),
            "tied": dict.fromkeys(active, 0),
            "zeros": 0,
            **fields,
        }
    )


def make_point(
    width: int, shares: list[list[int]], *, index: int = 0, model: str = "relu_net", **fields: Any
) -> FinishedPoint:
    """Three layers of 100, 800 and 100 parameters; a list of active counts a seed."""
    spec = parse_spec(
        {"kind": "activity_map", "model": {"name": model, "width": width, "depth": 2}}
    )
    results = [
        make_result(seed, {"1": one}, [100, 800, 100], **fields) for seed, one in enumerate(shares)
    ]
    return FinishedPoint(index, {"model.width": width}, spec, results)


def judge(*points: FinishedPoint) -> Any:
    (verdict,) = judge_points(points, summarize_points(points))
    return verdict


@pytest.mark.parametrize(
    ("alphas", "pointer"),
    [
        ([], "#/spec/alphas_percent"),
        ([0], "#/spec/alphas_percent/0"),
        ([1, 100.5], "#/spec/alphas_percent/1"),
        ([-1, 5], "#/spec/alphas_percent/0"),
        ([10, 1], "#/spec/alphas_percent"),
        ([1, 1], "#/spec/alphas_percent"),
        ([1, 1.0000001], "#/spec/alphas_percent"),
        (list(range(1, 10)), "#/spec/alphas_percent"),
        ("1", "#/spec/alphas_percent"),
    ],
)
def test_a_wrong_alpha_is_answered_with_a_pointer(alphas: Any, pointer: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec({"kind": "activity_map", "alphas_percent": alphas})
    assert caught.value.errors[0].pointer == pointer


def test_the_price_holds_the_full_gradients_and_the_counts() -> None:
    digits = BUILTIN_DATASETS["digits"]
    plain, counted, more = (
        estimate(parse_spec({"epochs": 10, **spec}), 1, digits)
        for spec in (
            {"kind": "train"},
            {"kind": "activity_map"},
            {"kind": "activity_map", "alphas_percent": [1, 2, 3, 4]},
        )
    )
    assert counted.train_flops == 2 * plain.train_flops
    assert counted.disk_bytes == plain.disk_bytes + 3 * plain.parameters
    assert counted.memory_bytes > plain.memory_bytes
    assert more.memory_bytes == counted.memory_bytes + plain.parameters


def test_the_most_epochs_that_a_form_allows_can_be_counted() -> None:
    spec = parse_spec({"kind": "activity_map", "epochs": 10_000})
    assert spec.epochs <= torch.iinfo(torch.int16).max


def test_shares_by_hand() -> None:
    seed_results = [
        make_result(
            0, {"1": [6, 2, 0], "50": [10, 8, 2]}, [2, 4, 2], zeros=8, tied={"1": 2, "50": 0}
        ),
        make_result(1, {"1": [2, 2, 0], "50": [8, 8, 0]}, [2, 4, 2]),
    ]
    (seed_result,) = summarize_points(
        [FinishedPoint(0, {}, parse_spec({"kind": "activity_map"}), seed_results)]
    )
    assert isinstance(seed_result, ActivityMapPointResult)
    bottom, middle, top = seed_result.layers
    assert [layer.parameter_share for layer in seed_result.layers] == [0.25, 0.5, 0.25]
    assert bottom.share["1"] is not None
    assert bottom.share["1"].mean == (6 / 8 + 2 / 4) / 2
    assert bottom.concentration["1"] is not None
    assert bottom.concentration["1"].mean == 4 * (6 / 8 + 2 / 4) / 2
    assert middle.mean_frequency["50"] is not None
    assert middle.mean_frequency["50"].mean == 8 / (4 * 4)
    assert top.share["1"] is not None
    assert top.share["1"].mean == 0
    assert seed_result.tied_share["1"] is not None
    assert seed_result.tied_share["1"].mean == (2 / 8 + 0) / 2
    assert seed_result.zero_share is not None
    assert seed_result.zero_share.mean == (8 / (8 * 4) + 0) / 2


def test_where_nothing_was_counted_there_is_no_share() -> None:
    point = make_point(WIDE, [[0, 0, 0]], num_epochs=0, outcome="not_finite")
    (seed_result,) = summarize_points([point])
    assert isinstance(seed_result, ActivityMapPointResult)
    assert (
        seed_result.layers[0].share["1"]
        is seed_result.layers[0].mean_frequency["1"]
        is seed_result.zero_share
        is None
    )


def test_a_net_whose_ends_become_more_active_than_chance_with_width_reproduces_claim_5() -> None:
    narrow = make_point(NARROW, [[10, 80, 10], [11, 79, 10], [10, 79, 11]])
    wide = make_point(WIDE, [[30, 40, 30], [31, 38, 31], [29, 42, 29]], index=1)
    for order in ((narrow, wide), (wide, narrow)):
        verdict = judge(*order)
        assert verdict.claim == 5
        assert verdict.verdict == "reproduced", verdict.reason
        assert len(verdict.findings) == 4
        assert verdict.point == {}
        assert any("seeds" in deviation for deviation in verdict.deviations)


def test_the_wrong_direction_is_not_reproduced() -> None:
    narrow = make_point(NARROW, [[30, 40, 30], [31, 38, 31], [29, 42, 29]])
    wide = make_point(WIDE, [[20, 60, 20], [21, 58, 21], [19, 62, 19]], index=1)
    assert judge(narrow, wide).verdict == "not reproduced"


def test_growth_that_stays_below_chance_is_no_concentration() -> None:
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


def test_a_net_of_two_layers_says_nothing_of_its_ends() -> None:
    spec = {"kind": "activity_map", "model": {"name": "relu_net", "depth": 1}}
    points = [
        FinishedPoint(
            index,
            {"model.width": width},
            parse_spec({**spec, "model": {**spec["model"], "width": width}}),  # type: ignore[dict-item]
            [make_result(seed, {"1": [9, 1 + seed]}, [90, 10]) for seed in range(3)],
        )
        for index, width in enumerate((10, 100))
    ]
    assert "two layers" in judge(*points).reason


def run_point(spec: Any, ctx: RunContext, index: int, values: dict[str, Any]) -> FinishedPoint:
    return FinishedPoint(index, values, spec, run(spec, ctx))


@pytest.mark.parametrize(
    "model", [{"name": "relu_net", "depth": 2}, {"name": "conv_net", "depth": 2}]
)
def test_the_numbers_drawn_are_the_counts_over_epochs_and_seeds(
    laboratory, make_spec, model, monkeypatch
):
    ctx = laboratory.context((0, 1))
    point = run_point(make_spec(model={**model, "width": 6}), ctx, 0, {})
    experiment = LocalExperiment("a title", [point], [ctx], summarize_points([point]))
    plots = KIND.load_plots()
    exact = [
        laboratory.counts(ctx, seed)[
            "10/layers.1.%s.weight" % ("linear" if model["name"] == "relu_net" else "conv")
        ]
        for seed in (0, 1)
    ]
    expected = sum(maps.lay_out(array) / 3 for array in exact) / 2
    for name in ("activity_map", "activity_map_max"):
        drawn = plots.numbers(name, experiment)["points"][0]["maps"][1]
        assert drawn["layer"] == 2
        assert drawn["bin_shape"] == [1, 1]
        np.testing.assert_allclose(
            drawn["frequency"]["10"], expected, rtol=0, atol=0.5 * 10**-numbers.DECIMALS
        )
    monkeypatch.setattr(numbers, "MAX_CELLS", 200)
    coarse = plots.numbers("activity_map", experiment)
    cells = [
        len(rows) * len(rows[0])
        for one in coarse["points"][0]["maps"]
        for rows in one["frequency"].values()
    ]
    assert sum(cells) <= 200
    finest = plots.numbers("activity_map_max", experiment)["points"][0]["maps"][1]["frequency"][
        "10"
    ]
    assert np.max(finest) <= 1.0


def test_every_plot_is_drawn_also_of_no_results_and_maps_stay_images_in_vector_files(
    laboratory, make_spec
):
    points, contexts = [], []
    for index, width in enumerate((4, 8)):
        ctx = laboratory.context((0, 1))
        spec = make_spec(model={"name": "conv_net", "depth": 1, "width": width}, epochs=1)
        points.append(run_point(spec, ctx, index, {"model.width": width}))
        contexts.append(ctx)
    experiment = LocalExperiment("a title", points, contexts, summarize_points(points))
    nothing = LocalExperiment("a title", [], [], [])
    plots, options = KIND.load_plots(), PlotOptions(dpi=50)
    for info in KIND.plots:
        for source in (experiment, nothing):
            figure = plots.draw(info.name, plots.numbers(info.name, source), options)
            assert save(figure, "png", options).startswith(b"\x89PNG")
    maps_drawn = plots.draw("activity_map", plots.numbers("activity_map", experiment), options)
    assert save(maps_drawn, "pdf", options).startswith(b"%PDF")
    svg = save(maps_drawn, "svg", options)
    assert svg.count(b"data:image/png") >= 2 * 3 * 2  # each map is one image, not a path a cell


def test_a_map_file_holds_no_pickle(laboratory, make_spec):
    _, ctx = laboratory.run(make_spec(epochs=1))
    for name in (maps.COUNTS_FILE, maps.MAPS_FILE):
        with np.load(BytesIO(ctx.read_artifact(0, name)), allow_pickle=False) as stored:
            assert all(stored[key].dtype.kind in "iu" for key in stored.files)


def test_the_figures_are_offered_at_both_scales() -> None:
    offered = {(preset.name, preset.scale) for preset in KIND.presets()}
    figures = ("fig5", "fig6", "fig17", "fig18", "fig19", "fig20")
    assert offered == {(figure, scale) for figure in figures for scale in ("paper", "quick")}
    for preset in KIND.presets():
        assert set(preset.plots) <= {plot.name for plot in KIND.plots}
        assert len(preset.body["seeds"]) == (5 if preset.scale == "paper" else 3)
        if preset.scale == "paper":
            assert list_preset_deviations(preset) == ("Adam at learning rate 0.001 instead of 0.1",)


def test_the_titles_of_wide_layers_do_not_run_into_one_another() -> None:
    def make_map(layer: int) -> dict[str, Any]:
        return {
            "parameter": f"layers.{layer - 1}.linear.weight",
            "layer": layer,
            "weights": 25_000_000,
            "shape": [5000, 5000],
            "bin_shape": [40, 40],
            "frequency": {"1": [[0.5]]},
        }

    point = {
        "values": {"model.width": 5000},
        "outcome": "trained",
        "n": 5,
        "parameters": 75_000_000,
        "test_accuracy": {"mean": 0.9},
        "alphas_percent": [1.0],
        "maps": [make_map(layer) for layer in range(1, 6)],
    }
    drawn = {"title": "a title", "reduction": "max", "max_side": 125, "points": [point]}
    figure = KIND.load_plots().draw("activity_map_max", drawn, PlotOptions())
    figure.canvas.draw()
    extents = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    assert len(extents) == 5
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(extents))
