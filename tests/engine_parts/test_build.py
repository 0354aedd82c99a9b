"""Initial weights: Xavier and checkpoints."""

from __future__ import annotations

from math import prod, sqrt
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.determinism import derive_seed
from engine.errors import WeightsUnavailable
from engine.models.build import build_model, initialise
from engine.models.spec import (
    CheckpointSpec,
    HeSpec,
    InitSpec,
    LecunSpec,
    MlpSpec,
    ModelSpec,
    ReluNetSpec,
    TorchInitSpec,
    TorchvisionSpec,
    Vgg5Spec,
    XavierSpec,
)
from engine.models.weights import save_tensors
from tests.engine_parts.nets import DIGITS, build


def test_initial_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = build(ReluNetSpec(width=9), DIGITS, seed=3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = build(ReluNetSpec(width=9), DIGITS, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    other = build(ReluNetSpec(width=9), DIGITS, seed=4)
    for (name, a), b, c in zip(
        one.named_parameters(), two.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert name.endswith("bias") or not torch.equal(a, c)


@pytest.mark.parametrize("gain", [1.0, 10.0])
def test_xavier_has_the_specified_deviation_and_zero_biases(gain: float) -> None:
    net = build(Vgg5Spec(second_kernel=3, batch_norm=True), DIGITS, XavierSpec(gain=gain))
    for name, parameter in net.named_parameters():
        if parameter.dim() > 1 and parameter.numel() > 5_000:
            area = prod(parameter.shape[2:])
            sigma = gain * sqrt(2 / ((parameter.shape[0] + parameter.shape[1]) * area))
            spread = parameter.std().item()
            # the sample standard deviation of n normals has the error sigma / sqrt(2 n);
            # 5 times that does not occur
            assert abs(spread - sigma) < 5 * sigma / sqrt(2 * parameter.numel())
        elif parameter.dim() == 1:
            expected = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            assert torch.all(parameter == expected)


@pytest.mark.parametrize(
    ("init", "variance"),
    [(HeSpec(), 2.0), (HeSpec(gain=0.5), 0.5), (LecunSpec(), 1.0), (LecunSpec(gain=3.0), 9.0)],
)
def test_he_and_lecun_draw_with_variance_by_the_inputs(init: InitSpec, variance: float) -> None:
    """The same normal numbers as by Xavier, with another deviation."""
    model = Vgg5Spec(second_kernel=3, batch_norm=True)
    xavier = dict(build(model, DIGITS, seed=2).named_parameters())
    for name, parameter in build(model, DIGITS, init, seed=2).named_parameters():
        if parameter.dim() > 1:
            inputs, area = parameter.shape[1], prod(parameter.shape[2:])
            ratio = sqrt(variance / (inputs * area))
            ratio /= sqrt(2 / ((parameter.shape[0] + inputs) * area))
            torch.testing.assert_close(parameter, xavier[name] * ratio)
        else:
            assert torch.equal(parameter, xavier[name])


@pytest.mark.parametrize("init", [XavierSpec, HeSpec, LecunSpec])
def test_layer_gains_scale_the_weights_of_their_layer_alone(
    init: type[XavierSpec | HeSpec | LecunSpec],
) -> None:
    gains = (0.5, 1.0, 4.0, 2.0, 1.0)
    plain = build(Vgg5Spec(), DIGITS, init(), seed=2)
    scaled = build(Vgg5Spec(), DIGITS, init(layer_gains=gains), seed=2)
    for index, gain in enumerate(gains):
        pairs = zip(
            plain.parameters_of_layer(index), scaled.parameters_of_layer(index), strict=True
        )
        assert all(torch.equal(own, before * gain) for before, own in pairs)


def test_layer_gains_scale_the_layers_of_a_traced_net() -> None:
    model = TorchvisionSpec(architecture="resnet18", stem="small")
    plain = build(model, DIGITS, XavierSpec(), seed=2)
    count = len(plain.layers)
    gains = tuple(2.0 if index == count - 1 else 1.0 for index in range(count))
    scaled = build(model, DIGITS, XavierSpec(layer_gains=gains), seed=2)
    for (name, before), own in zip(plain.named_parameters(), scaled.parameters(), strict=True):
        gain = 2.0 if name == f"layers.{count - 1}.fc.weight" else 1.0
        assert torch.equal(own, before * gain), name


def test_torchs_own_initialisation_is_that_of_new_modules_under_the_seed() -> None:
    state = torch.get_rng_state()
    found = build(MlpSpec(widths=(6, 5), norm="batch"), DIGITS, TorchInitSpec(), seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(3, "init", "torch"))
        modules = [nn.Linear(784, 6), nn.BatchNorm1d(6), nn.Linear(6, 5), nn.BatchNorm1d(5)]
        made = nn.Sequential(*modules, nn.Linear(5, 10))
    for ours, torchs in zip(found.state_dict().values(), made.state_dict().values(), strict=True):
        assert torch.equal(ours, torchs)


def test_a_checkpoint_sets_weights_and_buffers() -> None:
    model = Vgg5Spec(width_multiplier=0.1, batch_norm=True)
    source = build(model, DIGITS, seed=5)
    source(torch.randn(4, *DIGITS.shape))  # changes the running statistics
    theta = save_tensors(source.state_dict())
    net = build_model(model, DIGITS)
    initialise(
        net,
        CheckpointSpec(checkpoint="art_1"),
        0,
        read_checkpoint={"art_1": theta}.__getitem__,
        weights_dir=Path("nowhere"),
        allow_download=False,
    )
    assert all(
        torch.equal(net.state_dict()[name], value) for name, value in source.state_dict().items()
    )


def test_a_checkpoint_of_another_model_is_rejected_with_the_differences() -> None:
    theta = save_tensors(build(ReluNetSpec(width=8), DIGITS).state_dict())
    net = build_model(ReluNetSpec(width=9), DIGITS)
    with pytest.raises(
        WeightsUnavailable,
        match=r"layers\.0\.linear\.bias is float32 \[8\], the model's is float32 \[9\]",
    ):
        initialise(
            net,
            CheckpointSpec(checkpoint="x"),
            0,
            read_checkpoint=lambda _: theta,
            weights_dir=Path("nowhere"),
            allow_download=False,
        )


def start_from(model: ModelSpec, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The net's tensors after it started from these."""
    net = build_model(model, DIGITS)
    initialise(
        net,
        CheckpointSpec(checkpoint="x"),
        0,
        read_checkpoint=lambda _: save_tensors(tensors),
        weights_dir=Path("nowhere"),
        allow_download=False,
    )
    return dict(net.state_dict())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_checkpoint_of_another_float_type_is_converted_and_counters_stay_integers(
    dtype: torch.dtype,
) -> None:
    model = Vgg5Spec(width_multiplier=0.1, batch_norm=True)
    source = build(model, DIGITS, seed=5)
    source(torch.randn(4, *DIGITS.shape))
    given = {
        name: value.to(dtype) if value.is_floating_point() else value + 2**40 + 1
        for name, value in source.state_dict().items()
    }
    found = start_from(model, given)
    for name, value in given.items():
        expected = value.float() if value.is_floating_point() else value
        assert found[name].dtype == expected.dtype
        assert torch.equal(found[name], expected), name


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("layers.0.norm1.num_batches_tracked", torch.tensor(3.0), "is float32 []"),
        ("layers.0.conv1.bias", torch.zeros(6, dtype=torch.int64), "is int64 [6]"),
        ("layers.0.conv1.bias", torch.zeros(6, dtype=torch.float8_e5m2), "is float8_e5m2 [6]"),
        ("layers.0.conv1.bias", torch.zeros(6, dtype=torch.complex64), "is complex64 [6]"),
        ("layers.0.conv1.bias", torch.full((6,), torch.nan), "holds NaN"),
        ("layers.0.conv1.bias", torch.full((6,), 1e39, dtype=torch.float64), "holds NaN"),
        ("layers.9.conv1.bias", torch.zeros(6), "is not in the model"),
    ],
)
def test_a_tensor_that_the_net_cannot_take_is_named(
    name: str, value: torch.Tensor, said: str
) -> None:
    model = Vgg5Spec(width_multiplier=0.1, batch_norm=True)
    tensors = dict(build(model, DIGITS).state_dict())
    with pytest.raises(WeightsUnavailable) as refused:
        start_from(model, {**tensors, name: value})
    assert f"{name} {said}" in str(refused.value)


def test_a_prefix_that_all_names_have_in_common_is_named() -> None:
    model = ReluNetSpec(width=8)
    tensors = {f"module.{name}": value for name, value in build(model).state_dict().items()}
    with pytest.raises(WeightsUnavailable, match=r"All names begin with 'module\.': strip it"):
        start_from(model, tensors)
