"""The kind `connectivity`: children, spec, cost, results, sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.analysis.net_counter import NetCounter
from engine.cost import estimate
from engine.data.resident import resident_data
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import InvalidSpec
from engine.experiments.connectivity.answer import tell
from engine.experiments.connectivity.children import Child, order_of, start_child
from engine.experiments.connectivity.result import (
    ConnectivityPointResult,
    ConnectivitySeedResult,
    summarize_points,
)
from engine.experiments.connectivity.run import run
from engine.experiments.connectivity.spec import ConnectivitySpec
from engine.experiments.registry import parse_spec
from engine.kind import FinishedPoint
from engine.local import LocalRunContext
from engine.result import Statistic, Timings
from engine.spec import Execution
from engine.training.loop import train
from engine.training.module_learner import ModuleLearner
from engine.training.splits import Splits, continue_training
from engine.training.stacked_learner import StackedLearner

DIGITS = BUILTIN_DATASETS["digits"]
SMALL: dict[str, Any] = {
    "kind": "connectivity",
    "data": {"name": "digits", "train_size": 96, "test_size": 60},
    "model": {"name": "relu_net", "width": 6, "depth": 2},
    "batch_size": 20,
    "epochs": 3,
    "points": 4,
}
"""Five steps an epoch, the last of 16 examples"""


def make_spec(**fields: Any) -> ConnectivitySpec:
    spec = parse_spec({**SMALL, **fields})
    assert isinstance(spec, ConnectivitySpec)
    return spec


def make_context(folder: Path, seeds: tuple[int, ...] = (0, 1)) -> LocalRunContext:
    execution = Execution(device="cpu")
    return LocalRunContext(folder, seeds, execution, data_dir=folder, allow_download=False)


TRAININGS: dict[str, dict[str, Any]] = {
    "stacked": {},
    "momentum and cosine": {
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        "schedule": {"name": "cosine", "warmup": {"steps": 4}},
    },
    "batch norm": {"model": {"name": "mlp", "widths": [6], "norm": "batch"}},
    "crops and flips": {
        "model": {"name": "conv_net", "width": 2, "depth": 1},
        "data": {**SMALL["data"], "augmentation": "crop_flip"},
    },
    "one order": {"order_seed": 5},
    "parametrization": {"parametrization": {"name": "ntk"}},
    "scaled output": {"output_scale": {"alpha": 2.0}},
}


@pytest.mark.parametrize("fields", TRAININGS.values(), ids=TRAININGS)
def test_a_child_in_the_order_of_the_training_is_the_training_bit_for_bit(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    """From the start, from within an epoch, and from the end of one."""
    spec, ctx = make_spec(**fields), make_context(tmp_path)
    data = resident_data(spec.data, "cpu", ctx)
    splits = Splits([7, 10])
    trained = {one.seed: one for one in train(spec, ctx, on_step=splits)}
    assert {seed for group in splits.groups for seed in group} == {0, 1}
    for group in splits.groups:
        for step in (0, 7, 10):
            learner = start_child(spec, data, ctx, Child(group, step, 1), splits)
            continue_training(learner, step, spec.num_steps(DIGITS), lambda done: None)
            for index, seed in enumerate(group):
                theta = learner.parameters(index)
                for name, tensor in trained[seed].theta_T.items():
                    assert torch.equal(theta[name], tensor), (seed, step, name)


@pytest.mark.parametrize("name", ["stacked", "crops and flips"])
def test_another_child_from_the_start_is_a_training_in_its_order(tmp_path: Path, name: str) -> None:
    spec, ctx = make_spec(**TRAININGS[name]), make_context(tmp_path / "child", (3,))
    data = resident_data(spec.data, "cpu", ctx)
    learner = start_child(spec, data, ctx, Child((3,), 0, 2), Splits([]))
    continue_training(learner, 0, spec.num_steps(DIGITS), lambda done: None)
    ordered = spec.model_copy(update={"order_seed": order_of(spec, 3, 2)})
    (same,) = train(ordered, make_context(tmp_path / "ordered", (3,)))
    (other,) = train(spec, make_context(tmp_path / "plain", (3,)))
    for tensor_name, tensor in learner.parameters(0).items():
        assert torch.equal(tensor, same.theta_T[tensor_name])
        assert not torch.equal(tensor, other.theta_T[tensor_name])


def test_the_training_of_child_1_is_that_of_the_kind_train(tmp_path: Path) -> None:
    spec = make_spec(splits={"steps": [0, 7]})
    ours = run(spec, make_context(tmp_path / "ours"))
    plain = {**SMALL, "kind": "train"}
    del plain["points"]
    theirs = train(parse_spec(plain), make_context(tmp_path / "theirs"))
    for one, other in zip(ours, theirs, strict=True):
        assert one.test_accuracy == other.test_accuracy
        assert one.train_loss == other.train_loss
    for name in ("theta_0", "theta_T"):
        first, second = (
            (tmp_path / folder / f"{name}-seed1.safetensors").read_bytes()
            for folder in ("ours", "theirs")
        )
        assert first == second


def test_every_child_of_every_seed_has_an_order_of_its_own() -> None:
    spec, fixed = make_spec(), make_spec(order_seed=9)
    orders = [order_of(spec, seed, number) for seed in (0, 1) for number in (1, 2, 3)]
    assert len(set(orders)) == 6
    assert [order_of(spec, 4, 1), order_of(fixed, 4, 1)] == [4, 9]
    assert order_of(fixed, 0, 2) == order_of(fixed, 1, 2) != 9


@pytest.mark.parametrize("name", ["stacked", "scaled output", "parametrization"])
def test_the_ends_of_a_line_are_child_1_and_a_child_of_another_order(
    tmp_path: Path, name: str
) -> None:
    """At child 1's the error is that of the training, by whatever the net computes."""
    spec = make_spec(**TRAININGS[name], splits={"steps": [2], "epochs": [2]}, children=3)
    results = run(spec, make_context(tmp_path))
    for result in results:
        assert isinstance(result, ConnectivitySeedResult)
        assert [split.step for split in result.splits] == [2, 10]
        for split in result.splits:
            assert len(split.test_error) == len(split.train_error) == 4
            assert split.test_error[0] == pytest.approx(1 - result.test_accuracy)
            assert [layer.name for layer in split.layers] == ["layers.0", "layers.1", "layers.2"]


@pytest.mark.parametrize(
    "model",
    [SMALL["model"], {"name": "mlp", "widths": [5], "norm": "batch"}],
    ids=["stacked", "batch norm"],
)
def test_the_cost_counts_the_steps_and_the_images_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: dict[str, Any]
) -> None:
    spec = make_spec(model=model, splits={"steps": [0, 4], "epochs": [2]}, children=3)
    steps = images = 0

    def count(learner: type[Any]) -> None:
        plain = learner.train_step

        def counted(self: Any, step: int) -> None:
            nonlocal steps
            steps += 1
            plain(self, step)

        monkeypatch.setattr(learner, "train_step", counted)

    count(StackedLearner)
    count(ModuleLearner)
    evaluate = NetCounter.count_correct

    def counted_images(self: NetCounter) -> int:
        nonlocal images
        images += len(self._labels)
        return evaluate(self)

    monkeypatch.setattr(NetCounter, "count_correct", counted_images)
    run(spec, make_context(tmp_path, (0,)))
    work, trained = spec.work(DIGITS), spec.num_steps(DIGITS)
    assert trained == 15
    assert steps == pytest.approx(work.train_fraction * trained) == 15 + 2 * (15 + 11 + 5)
    lines, layers = 2 * 3, len(spec.model.widths) + 1 if model["name"] == "mlp" else 3  # type: ignore[union-attr]
    norms = lines * 4 * (1 + layers) * 96 if model["name"] == "mlp" else 0
    assert images == lines * (4 * (60 + 96) + 4 * layers * 60)
    assert 0 <= work.test_evaluations * 60 - images - norms < lines * 60, "rounded up for each line"
    more = make_spec(model=model, splits={"steps": [0, 4], "epochs": [2]}, children=4)
    assert estimate(more, 1, DIGITS).flops > estimate(spec, 1, DIGITS).flops


def test_a_split_with_a_net_that_is_not_finite_is_left_out_and_told(tmp_path: Path) -> None:
    spec = make_spec(
        model={"name": "relu_net", "width": 60, "depth": 4},
        optimizer={"name": "sgd", "lr": 100.0},
        splits={"steps": [0, 8]},
    )
    for result in run(spec, make_context(tmp_path)):
        assert isinstance(result, ConnectivitySeedResult)
        assert result.outcome == "not_finite"
        assert result.splits == ()
        assert any("2 splits" in note for note in result.notes)


WRONG: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "order and end": (
        {"splits": {"steps": [0, 4, 4], "epochs": [2, 1, 3]}},
        {
            ("#/spec/splits/steps/2", "not-ascending"),
            ("#/spec/splits/epochs/1", "not-ascending"),
            ("#/spec/splits/epochs/2", "split-too-late"),
        },
    ),
    "none": ({"splits": {"steps": []}}, {("#/spec/splits", "no-splits")}),
    "no epochs": ({"epochs": 0}, {("#/spec/epochs", "no-training")}),
}


@pytest.mark.parametrize(("fields", "expected"), WRONG.values(), ids=WRONG)
def test_all_errors_of_a_spec_are_told_at_once(
    fields: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    with pytest.raises(InvalidSpec) as found:
        make_spec(**fields)
    assert {(error.pointer, error.code) for error in found.value.errors} == expected


def test_what_only_the_data_set_decides_is_told_at_once() -> None:
    spec = make_spec(splits={"steps": [0, 5, 14, 15, 99], "epochs": [1, 2]})
    assert [(error.pointer, error.code) for error in spec.check_data(DIGITS)] == [
        ("#/spec/splits/steps/3", "split-too-late"),
        ("#/spec/splits/steps/4", "split-too-late"),
        ("#/spec/splits/epochs/0", "repeated"),
    ]


def test_the_kinds_own_fields_do_not_change_the_training() -> None:
    plain = make_spec()
    other = make_spec(splits={"steps": [3]}, children=4, points=9, by_layer=False)
    assert plain.digest() != other.digest()
    digests = {one.training_digest(0, Execution(), "data") for one in (plain, other)}
    assert len(digests) == 1


def make_point(*instabilities: float, outcome: str = "trained") -> ConnectivityPointResult:
    """A point of one seed whose instability from steps 0, 10, 20, ... is as given."""
    splits = [
        {
            "step": 10 * place,
            "test_error": (0.0, value, 0.0),
            "train_error": (0.0, 0.0, 0.0),
            "instability": value,
            "train_instability": 0.0,
        }
        for place, value in enumerate(instabilities)
    ]
    result = ConnectivitySeedResult.model_validate(
        {
            "seed": 0,
            "outcome": outcome,
            "test_accuracy": 0.5,
            "initial_test_accuracy": 0.1,
            "train_loss": 1.0,
            "timings": Timings(),
            "splits": splits,
        }
    )
    (point,) = summarize_points([FinishedPoint(0, {}, make_spec(), [result])])
    assert isinstance(point, ConnectivityPointResult)
    return point


def test_a_net_is_stable_from_the_first_split_after_which_no_split_is_unstable() -> None:
    assert make_point(0.3, 0.01, 0.005).stable_from_step == 10
    assert make_point(0.01, 0.3, 0.005).stable_from_step == 20
    assert make_point(0.0199, 0.0).stable_from_step == 0
    assert make_point(0.0, 0.02).stable_from_step is None
    assert make_point(0.0, outcome="at_chance").stable_from_step is None


def sentence(*instabilities: float, **fields: Any) -> str:
    return tell(make_point(*instabilities, **fields).model_dump(mode="json"))


def test_the_answer_is_one_plain_sentence() -> None:
    assert sentence(0.3, 0.01, 0.005) == (
        "Stable (instability below 2 points) from step 10 on: 1 points (n = 1) there, "
        "30 points (n = 1) from step 0."
    )
    assert sentence(0.01) == (
        "Stable (instability below 2 points) from its initialisation on: 1 points (n = 1)."
    )
    assert sentence(0.0, 0.3) == (
        "Stable (instability below 2 points) from no split on: 30 points (n = 1) from step 10, "
        "the last one."
    )
    assert sentence(0.0, outcome="at_chance") == ""


def test_a_statistic_is_over_the_seeds_with_the_split() -> None:
    point = make_point(0.25)
    assert point.splits[0].instability == Statistic(mean=0.25, standard_error=None, ci95=None, n=1)
