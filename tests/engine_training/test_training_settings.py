"""Losses, clipping, schedules, seeds: equal to a plain loop by torch, bit for bit."""

from __future__ import annotations

from math import cos, pi
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.data.bounds import batch_bounds
from engine.data.load import load_dataset
from engine.data.resident import epoch_order
from engine.data.spec import BUILTIN_DATASETS
from engine.determinism import deterministic
from engine.experiments.registry import parse_spec
from engine.local import LocalRunContext
from engine.models.build import build_model
from engine.optim.spec import MseSpec
from engine.spec import Execution, ExperimentSpec
from engine.spec_checks import check_spec
from engine.training import loop
from engine.training.losses import LinearLoss
from engine.training.outcome import TrainedSeed

SMALL: dict[str, Any] = {"name": "digits", "train_size": 300, "test_size": 100}
DIGITS = BUILTIN_DATASETS["digits"]
RELU_NET = {"name": "relu_net", "width": 12, "depth": 2}
MLP = {"name": "mlp", "widths": [12, 9], "activation": "gelu", "norm": "layer"}
EPOCHS, BATCH = 3, 128


def make_spec(**fields: Any) -> ExperimentSpec:
    defaults = {"kind": "train", "data": SMALL, "epochs": EPOCHS, "batch_size": BATCH}
    return parse_spec({**defaults, **fields})


def train(folder: Path, spec: ExperimentSpec, seeds: tuple[int, ...] = (0,)) -> list[TrainedSeed]:
    execution = Execution(device="cpu")
    ctx = LocalRunContext(folder, seeds, execution, data_dir=folder, allow_download=False)
    return loop.train(spec, ctx)


def minimised(spec: ExperimentSpec, logits: Tensor, y: Tensor) -> Tensor:
    """The loss by the names that torch's documentation gives."""
    if isinstance(spec.loss, MseSpec):
        return functional.mse_loss(logits, functional.one_hot(y, 10).float())
    return functional.cross_entropy(logits, y, label_smoothing=spec.loss.label_smoothing)


@pytest.mark.parametrize("name", ["xavier", "he", "lecun"])
def test_gains_of_layers_are_as_many_as_the_net_s_layers(name: str) -> None:
    def check(*gains: float) -> list[tuple[str, str]]:
        spec = make_spec(model=RELU_NET, init={"name": name, "layer_gains": gains})
        return [(error.pointer, error.detail) for error in check_spec(spec, DIGITS)]

    assert check() == check(1.0, 2.0, 0.5) == []
    told = "2 gains for a net of 3 layers; give one for each, from the input up"
    assert check(1.0, 2.0) == [("#/spec/init/layer_gains", told)]
    plain = make_spec(model=RELU_NET, init={"name": name})
    given = make_spec(model=RELU_NET, init={"name": name, "layer_gains": [1.0, 2.0, 0.5]})
    assert "layer_gains" not in plain.training_spec()["init"]
    assert given.training_spec()["init"]["layer_gains"] == [1.0, 2.0, 0.5]


def train_plainly(folder: Path, spec: ExperimentSpec, theta_0: dict[str, Tensor]) -> nn.Module:
    """The training as a user of torch writes it: AdamW with a cosine after a warm-up."""
    data = load_dataset(
        spec.data, data_dir=folder, allow_download=False, registered=lambda name: None
    )
    net = build_model(spec.model, DIGITS)
    net.load_state_dict(theta_0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.001, fused=True)
    bounds = batch_bounds(300, BATCH)
    warmup, total = len(bounds), EPOCHS * len(bounds)
    done = 0
    for epoch in range(EPOCHS):
        order = epoch_order(0, epoch, 300)
        for start, stop in bounds:
            fall = (1 + cos(pi * (done - warmup) / (total - warmup))) / 2
            lr = 0.001 * (done + 1) / warmup if done < warmup else 0.001 * fall
            optimizer.param_groups[0]["lr"] = lr
            optimizer.zero_grad()
            chosen = order[start:stop]
            minimised(spec, net(data.x_train[chosen]), data.y_train[chosen]).backward()  # type: ignore[no-untyped-call]
            if spec.clip_norm is not None:
                nn.utils.clip_grad_norm_(net.parameters(), spec.clip_norm)
            optimizer.step()
            done += 1
    return net


@pytest.mark.parametrize("model", [RELU_NET, MLP], ids=lambda model: model["name"])
@pytest.mark.parametrize(
    "settings",
    [
        {"loss": {"name": "mse"}},
        {"loss": {"name": "cross_entropy", "label_smoothing": 0.1}},
        {"clip_norm": 0.5},
        {"loss": {"name": "mse"}, "clip_norm": 0.05},
    ],
    ids=str,
)
def test_a_training_is_the_plain_loop_bit_for_bit(
    tmp_path: Path, model: dict[str, Any], settings: dict[str, Any]
) -> None:
    spec = make_spec(
        model=model,
        optimizer={"name": "adamw"},
        schedule={"name": "cosine", "warmup": {"epochs": 1}},
        **settings,
    )
    (trained,) = train(tmp_path, spec)
    with deterministic(num_threads=1):
        net = train_plainly(tmp_path, spec, trained.theta_0)
    moved = False
    for name, value in net.state_dict().items():
        assert torch.equal(trained.theta_T[name], value), name
        moved |= not torch.equal(trained.theta_0[name], value)
    assert moved


def test_clipping_changes_the_training(tmp_path: Path) -> None:
    spec, clipped = make_spec(model=MLP), make_spec(model=MLP, clip_norm=0.01)
    (free,), (bound,) = train(tmp_path / "a", spec), train(tmp_path / "b", clipped)
    assert not torch.equal(
        free.theta_T["layers.0.linear.weight"], bound.theta_T["layers.0.linear.weight"]
    )


def test_the_hand_written_loss_serves_cross_entropy_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    right = LinearLoss.__init__

    def note(loss: LinearLoss, *inputs: Any) -> None:
        used.append("linear")
        right(loss, *inputs)

    monkeypatch.setattr(LinearLoss, "__init__", note)
    model = {"name": "mlp", "widths": [8]}
    for loss in ({"name": "mse"}, {"name": "cross_entropy", "label_smoothing": 0.1}):
        train(tmp_path / str(loss["name"]), make_spec(model=model, loss=loss))
    assert not used
    train(tmp_path / "plain", make_spec(model=model))
    assert used


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"loss": {"name": "mse"}}, "loss"),
        ({"clip_norm": 1.0}, "clip_norm"),
        ({"optimizer": {"name": "adamw", "decay": "matrices"}}, "optimizer"),
    ],
)
def test_what_the_batched_net_does_not_compute_trains_one_by_one_and_the_result_says_so(
    tmp_path: Path, fields: dict[str, Any], named: str
) -> None:
    spec = make_spec(model=RELU_NET, **fields)
    assert not spec.stacks_seeds(Execution())
    for trained in train(tmp_path, spec, (0, 1)):
        assert trained.timings.stacked_seeds == 1
        assert trained.notes == (
            f"Seeds train one by one: the batched net does not compute {named}.",
        )


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": {"name": "adamw", "weight_decay": 0.3}},
        {"schedule": {"name": "cosine", "warmup": {"steps": 2}}},
        {"order_seed": 5, "init_seed": 6},
    ],
    ids=str,
)
def test_the_batched_net_agrees_with_autograd(tmp_path: Path, fields: dict[str, Any]) -> None:
    spec = make_spec(model=RELU_NET, **fields)
    (stacked,) = train(tmp_path / "stacked", spec)
    assert stacked.notes == ()
    execution = Execution(device="cpu", stack_seeds=False)
    ctx = LocalRunContext(tmp_path / "alone", [0], execution, data_dir=tmp_path)
    (alone,) = loop.train(spec, ctx)
    for name, value in alone.theta_T.items():
        # other kernels, over nine steps of at most 0.001
        torch.testing.assert_close(stacked.theta_T[name], value, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("model", [RELU_NET, MLP], ids=lambda model: model["name"])
def test_initial_weights_and_order_have_their_own_seeds(
    tmp_path: Path, model: dict[str, Any]
) -> None:
    def first_weights(name: str, **fields: Any) -> list[tuple[Tensor, Tensor]]:
        spec = make_spec(model=model, **fields)
        return [
            (one.theta_0["layers.0.linear.weight"], one.theta_T["layers.0.linear.weight"])
            for one in train(tmp_path / name, spec, (0, 1))
        ]

    (start, end), (other_start, other_end) = first_weights("init", init_seed=7)
    assert torch.equal(start, other_start)
    assert not torch.equal(end, other_end)
    (start, end), (other_start, other_end) = first_weights("both", init_seed=7, order_seed=8)
    assert torch.equal(start, other_start)
    assert torch.equal(end, other_end)
    (start, end), (other_start, other_end) = first_weights("order", order_seed=8)
    assert not torch.equal(start, other_start)
    from_seeds = first_weights("seeds")
    written = first_weights("written", init_seed=0, order_seed=0)
    assert all(map(torch.equal, from_seeds[0], written[0]))


def test_augmentation_follows_the_seed_of_the_order(tmp_path: Path) -> None:
    data = {**SMALL, "augmentation": "crop_flip"}
    spec = make_spec(model=MLP, data=data, init_seed=1, order_seed=2)
    one, other = train(tmp_path, spec, (0, 1))
    for name, value in one.theta_T.items():
        assert torch.equal(other.theta_T[name], value)


@pytest.mark.parametrize(
    ("warmup", "pointer"),
    [
        ({"steps": 9}, "#/spec/schedule/warmup/steps"),
        ({"epochs": 3}, "#/spec/schedule/warmup/epochs"),
    ],
)
def test_a_warm_up_as_long_as_the_training_is_refused(warmup: dict[str, int], pointer: str) -> None:
    (error,) = check_spec(make_spec(schedule={"name": "cosine", "warmup": warmup}), DIGITS)
    assert (error.pointer, error.code) == (pointer, "beyond-the-training")
    unit, number = next(iter(warmup.items()))
    shorter = {"name": "cosine", "warmup": {unit: number - 1}}
    assert check_spec(make_spec(schedule=shorter), DIGITS) == []
    assert check_spec(make_spec(schedule=shorter, epochs=0), DIGITS) == []


@pytest.mark.parametrize(
    ("fields", "digest", "training"),
    [
        ({"kind": "train"}, "291bbd19bf05f18d", "553ce2b5b36dafc1"),
        ({"kind": "lws"}, "fde74db0d0f73d63", "fe4fd8ce29f81627"),
        (
            {
                "kind": "lws",
                "model": {"name": "conv_net"},
                "policy": {"name": "random_beta"},
                "schedule": {"name": "step"},
                "optimizer": {"name": "sgd"},
            },
            "3d545e69f004a33d",
            "44d7177cc2c06a97",
        ),
        ({"kind": "gradient_spectrum"}, "afab0c97edd9e293", "553ce2b5b36dafc1"),
    ],
    ids=str,
)
def test_digests_are_those_of_earlier_versions(
    fields: dict[str, Any], digest: str, training: str
) -> None:
    spec = parse_spec(fields)
    assert spec.digest()[:16] == digest
    assert spec.training_digest(0, Execution(), "data")[:16] == training


def test_every_setting_is_part_of_the_identity_of_a_training() -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"loss": {"name": "mse"}},
        {"loss": {"name": "cross_entropy", "label_smoothing": 0.1}},
        {"clip_norm": 1.0},
        {"init_seed": 0},
        {"order_seed": 0},
        {"schedule": {"name": "constant", "warmup": {"steps": 2}}},
        {"schedule": {"name": "constant", "warmup": {"epochs": 2}}},
        {"schedule": {"name": "cosine"}},
        {"optimizer": {"name": "adamw"}},
        {"optimizer": {"name": "adamw", "decay": "matrices"}},
    ]
    specs = [make_spec(**fields) for fields in settings]
    assert len({spec.digest() for spec in specs}) == len(settings)
    assert len({spec.training_spec_digest(Execution()) for spec in specs}) == len(settings)
