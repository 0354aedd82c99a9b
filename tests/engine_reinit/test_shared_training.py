"""A sweep over what is reset to trains each net once, with the numbers of separate trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.experiments.registry import parse_spec
from engine.experiments.reinit_sweep import plots
from engine.local import LocalExperiment, run_local
from engine.shared_trainings import find_shared
from engine.spec import MAX_MOMENTS, Execution, KeptCheckpoints

SPEC: dict[str, Any] = {
    "kind": "reinit_sweep",
    "data": {"name": "synthetic", "train_size": 64, "test_size": 64},
    "model": {"name": "relu_net", "width": 5, "depth": 1},
    "epochs": 2,
    "batch_size": 16,
    "fractions_percent": [0, 10, 100],
}
RESETS: list[dict[str, Any]] = [
    {"name": "init"},
    {"name": "step", "step": 3},
    {"name": "epoch", "epoch": 1},
    {"name": "zero"},
]


def compute(folder: Path, body: dict[str, Any]) -> LocalExperiment:
    return run_local(body, folder, seeds=[0, 1], data_dir=folder, device="cpu")


@pytest.mark.parametrize("model", [SPEC["model"], {"name": "conv_net", "width": 2, "depth": 1}])
def test_a_sweep_trains_each_seed_once_with_equal_results(
    tmp_path: Path, model: dict[str, Any]
) -> None:
    spec = {**SPEC, "model": model}
    swept = compute(tmp_path / "sweep", {"spec": spec, "sweep": {"reset_to": RESETS}})
    reused = [
        [event["seed"] for event in ctx.events if event["name"] == "training.reused"]
        for ctx in swept.contexts
    ]
    assert reused == [[], [0, 1], [0, 1], [0, 1]]
    for index, (point, reset) in enumerate(zip(swept.points, RESETS, strict=True)):
        alone = compute(tmp_path / f"alone{index}", {**spec, "reset_to": reset}).points[0]
        for ours, theirs in zip(point.results, alone.results, strict=True):
            assert ours.curves == theirs.curves  # type: ignore[attr-defined]
            assert ours.test_accuracy == theirs.test_accuracy
            assert ours.reused_from == ("point0" if index else None)


def test_the_metrics_of_a_loaded_training_are_logged_again(tmp_path: Path) -> None:
    swept = compute(tmp_path, {"spec": SPEC, "sweep": {"reset_to": RESETS[:2]}})
    first, second = (ctx.metrics() for ctx in swept.contexts)
    assert first == second
    assert first[0]["test_accuracy"].keys() == {0, 1, 2}


def test_the_first_point_keeps_the_weights_that_any_point_needs() -> None:
    specs = [parse_spec({**SPEC, "reset_to": reset}) for reset in RESETS]
    shared = find_shared(specs, Execution())
    assert set(shared) == {0, 1, 2, 3}
    assert len({one.digest for one in shared.values()}) == 1
    assert shared[3].first_point == 0
    assert shared[0].checkpoints == KeptCheckpoints(epochs=(1,), steps=(3,))


def test_points_that_train_other_nets_share_nothing() -> None:
    rates = [{"name": "adam", "lr": rate} for rate in (0.1, 0.2)]
    specs = [parse_spec({**SPEC, "optimizer": one}) for one in rates]
    assert find_shared(specs, Execution()) == {}
    maps = [parse_spec({**SPEC_OF_MAP, "alphas_percent": [alpha]}) for alpha in (1.0, 10.0)]
    assert find_shared(maps, Execution()) == {}, "its counts are made in the training"


SPEC_OF_MAP: dict[str, Any] = {"kind": "activity_map", "epochs": 2}


def test_a_training_is_shared_at_any_number_of_moments() -> None:
    last = MAX_MOMENTS + 1
    specs = [
        parse_spec({**SPEC, "epochs": 200, "reset_to": {"name": "epoch", "epoch": epoch}})
        for epoch in range(1, last + 1)
    ]
    shared = find_shared(specs, Execution())
    assert len(shared) == len(specs)
    assert shared[0].checkpoints.epochs == tuple(range(1, last + 1))


def test_bars_start_at_the_net_that_is_reset_to(tmp_path: Path) -> None:
    body = {"spec": {**SPEC, "modes": ["lazy"]}, "sweep": {"reset_to": RESETS[:3]}}
    swept = compute(tmp_path, body)
    numbers = plots.numbers("accuracy_bars", swept)
    starts = [point["initial_test_accuracy"]["mean"] for point in numbers["points"]]
    ends = [point.curves[0].test_accuracy[0].mean for point in swept.summary]  # type: ignore[attr-defined]
    assert starts == ends
    assert numbers["start"] == "net that is reset to"
    usual = plots.numbers("accuracy_bars", compute(tmp_path / "usual", {"spec": SPEC}))
    assert usual["start"] == "at initialisation"


def test_a_point_whose_curve_has_no_end_has_no_bar(tmp_path: Path) -> None:
    spec = {**SPEC, "fractions_percent": [0, 10], "modes": ["active"]}
    swept = compute(tmp_path, {"spec": spec, "sweep": {"reset_to": RESETS[:2]}})
    (bar,) = plots.numbers("accuracy_bars", swept)["points"]
    assert bar["values"] == {"reset_to": {"name": "init"}}
