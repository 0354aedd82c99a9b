"""The kind `activity_map`: spec, cost, results, artifacts and presets."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch

from engine.cost import estimate
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import InvalidSpec
from engine.experiments.activity_map import KIND, maps
from engine.experiments.activity_map.result import (
    ActivityMapPointResult,
    summarize_points,
)
from engine.experiments.registry import parse_spec
from engine.kind import FinishedPoint
from engine.paper.preset_departures import list_preset_departures
from tests.engine_activity.made_results import make_point, make_result
from tests.engine_activity.runner import Runner, SpecMaker

WIDE, NARROW = 100, 10


@pytest.mark.parametrize(
    ("alphas", "pointer"),
    [
        ([], "#/spec/alphas_percent"),
        ([0], "#/spec/alphas_percent/0"),
        ([1, 100.5], "#/spec/alphas_percent/1"),
        ([-1, 5], "#/spec/alphas_percent/0"),
        ([10, 1], "#/spec/alphas_percent/1"),
        ([1, 1], "#/spec/alphas_percent/1"),
        ([1, 1.0000001], "#/spec/alphas_percent/1"),
        (list(range(1, 10)), "#/spec/alphas_percent"),
        ("1", "#/spec/alphas_percent"),
    ],
)
def test_an_invalid_alpha_is_an_error_with_a_pointer(alphas: Any, pointer: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec({"kind": "activity_map", "alphas_percent": alphas})
    assert caught.value.errors[0].pointer == pointer


def test_the_cost_includes_the_full_gradients_and_the_counts() -> None:
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


def test_the_counters_hold_the_most_epochs_of_a_spec() -> None:
    spec = parse_spec({"kind": "activity_map", "epochs": 10_000})
    assert spec.epochs <= torch.iinfo(torch.int16).max


def test_shares_match_a_hand_computation() -> None:
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


def test_without_counts_shares_are_null() -> None:
    point = make_point(WIDE, [[0, 0, 0]], num_epochs=0, outcome="not_finite")
    (seed_result,) = summarize_points([point])
    assert isinstance(seed_result, ActivityMapPointResult)
    assert (
        seed_result.layers[0].share["1"]
        is seed_result.layers[0].mean_frequency["1"]
        is seed_result.zero_share
        is None
    )


def test_artifacts_hold_no_pickle(runner: Runner, make_spec: SpecMaker) -> None:
    _, ctx = runner.run(make_spec(epochs=1))
    for name in (maps.COUNTS_FILE, maps.MAPS_FILE):
        artifact = ctx.read_artifact(0, name)
        assert artifact is not None
        with np.load(BytesIO(artifact), allow_pickle=False) as stored:
            assert all(stored[key].dtype.kind in "iu" for key in stored.files)


def test_every_figure_has_a_preset_at_both_scales() -> None:
    found = {(preset.name, preset.scale) for preset in KIND.presets()}
    figures = ("fig5", "fig6", "fig17", "fig18", "fig19", "fig20")
    of_figures = {(figure, scale) for figure in figures for scale in ("paper", "quick")}
    assert found == of_figures | {("regime_activity", scale) for scale in ("paper", "quick")}
    for preset in (one for one in KIND.presets() if one.name in figures):
        assert set(preset.plots) <= {plot.name for plot in KIND.plots}
        assert len(preset.body["seeds"]) == (5 if preset.scale == "paper" else 3)
        if preset.scale == "paper":
            assert list_preset_departures(preset) == (
                "Adam with learning rate 0.001 instead of 0.1",
            )
