"""Initial weights: Xavier and checkpoints."""

from __future__ import annotations

from math import prod, sqrt
from pathlib import Path

import pytest
import torch

from engine.errors import WeightsUnavailable
from engine.models.build import build_model, initialise
from engine.models.spec import (
    CheckpointSpec,
    ModelSpec,
    ReluNetSpec,
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
