"""Errors along a line by hand: instability, interpolation, batch normalisation."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.analysis.line import Line, find_norms, instability, interpolate
from engine.data.resident import ResidentData
from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.connectivity.children import SeedLine
from engine.experiments.connectivity.run import average_lines
from engine.models.build import build_model
from engine.models.net import FlatLinear, LayeredNet
from engine.models.spec import MlpSpec

DIGITS = BUILTIN_DATASETS["digits"]


def make_data(x: Tensor, y: Tensor) -> ResidentData:
    """The same examples to train and to test."""
    return ResidentData(DIGITS, x, y, x, y, torch.zeros(1), "")


def linear_net(*sizes: int) -> LayeredNet:
    layers = [FlatLinear(inputs, outputs) for inputs, outputs in pairwise(sizes)]
    flags = [False] * len(layers)
    return LayeredNet(layers, normalises_by_batch=flags, is_random=flags)


def theta(*weights: list[list[float]]) -> dict[str, Tensor]:
    found = {}
    for number, weight in enumerate(weights):
        found[f"layers.{number}.weight"] = torch.tensor(weight)
        found[f"layers.{number}.bias"] = torch.zeros(len(weight))
    return found


ONE_HOT = make_data(torch.eye(3), torch.zeros(3, dtype=torch.int64))
"""Three examples of class 0; a linear net's logit of class 0 is its weight of the example"""
FIRST = theta([[1.0, -2.0, 1.0], [0.0, 0.0, 0.0]])
SECOND = theta([[-2.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
"""Example 0 is right while 1 - 3 s > 0, example 1 while 3 s - 2 > 0, example 2 always"""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def test_the_error_of_a_linear_net_along_a_line_by_hand() -> None:
    line = Line(linear_net(3, 2), FIRST, SECOND, ONE_HOT, autocasts=False)
    assert [line.count_test(share) for share in SHARES] == [2, 2, 1, 2, 2]
    assert [line.count_both(share) for share in SHARES] == [(2, 2), (2, 2), (1, 1), (2, 2), (2, 2)]
    errors = [1 - line.count_test(share) / 3 for share in SHARES]
    assert instability(errors) == pytest.approx(2 / 3 - 1 / 3)


def test_instability_is_the_highest_error_less_the_mean_of_the_ends() -> None:
    assert instability([0.1, 0.5, 0.3]) == pytest.approx(0.5 - 0.2)
    assert instability([0.1, 0.2, 0.3]) == pytest.approx(0.3 - 0.2)
    assert instability([0.2, 0.2, 0.2]) == 0.0
    assert instability([0.1, 0.5, 0.6], ends=(0.1, 0.3)) == pytest.approx(0.6 - 0.2)


def test_one_layer_moves_and_the_others_stay_at_child_1() -> None:
    """The second layer of SECOND is minus the identity: with the first one's, all is reversed."""
    identity, reverse = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]
    first = theta([[1.0, -2.0, 1.0], [0.0, 0.0, 0.0]], identity)
    second = theta([[-2.0, 1.0, 1.0], [0.0, 0.0, 0.0]], reverse)
    line = Line(linear_net(3, 2, 2), first, second, ONE_HOT, autocasts=False)
    assert [line.count_test(share, "layers.0") for share in SHARES] == [2, 2, 1, 2, 2]
    assert [line.count_test(share, "layers.1") for share in (0.0, 0.25, 0.75, 1.0)] == [2, 2, 1, 1]
    moved = interpolate(first, second, 0.25, "layers.1")
    assert torch.equal(moved["layers.0.weight"], first["layers.0.weight"])
    assert torch.equal(moved["layers.1.weight"], torch.tensor([[0.75, 0.25], [0.25, 0.75]]))


def test_the_ends_of_a_line_are_the_two_nets_bit_for_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = ({"a": torch.randn(1000, generator=generator)} for _ in range(2))
    assert torch.equal(interpolate(first, second, 0.0)["a"], first["a"])
    assert torch.equal(interpolate(first, second, 1.0)["a"], second["a"])


def test_the_mean_over_the_lines_of_several_children() -> None:
    lines = [
        SeedLine(4, 2, (0.1, 0.5, 0.1), (0.0, 0.2, 0.0), {"layers.0": (0.1, 0.3, 0.3)}),
        SeedLine(4, 3, (0.1, 0.1, 0.3), (0.0, 0.0, 0.0), {"layers.0": (0.1, 0.1, 0.2)}),
    ]
    split = average_lines(lines)
    assert split.step == 4
    assert split.test_error == pytest.approx((0.1, 0.3, 0.2))
    assert split.instability == pytest.approx((0.4 + 0.1) / 2)
    assert split.train_instability == pytest.approx(0.1)
    assert split.layers[0].instability == pytest.approx(((0.3 - 0.1) + (0.2 - 0.2)) / 2)


def test_running_statistics_are_those_of_each_net_on_the_train_set(tmp_path: Path) -> None:
    """Of batches of equal size the mean of their means is the mean of all examples."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand((500, 1, 28, 28), generator=generator)
    y = torch.randint(10, (500,), generator=generator)
    net = build_model(MlpSpec(widths=(6,), norm="batch"), DIGITS)
    nets = []
    for _ in range(2):
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
        nets.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
    first, second = nets
    line = Line(net, first, second, make_data(x, y), autocasts=False)
    for share in (0.0, 0.5):
        line.count_test(share)
        (norm,) = find_norms(net)
        mixed = interpolate(first, second, share)
        weight, bias = (mixed[f"layers.0.linear.{name}"] for name in ("weight", "bias"))
        below = x.flatten(1) @ weight.T + bias
        assert torch.allclose(norm.running_mean, below.mean(0), atol=1e-4)  # type: ignore[arg-type]
        variance = (below[:250].var(0) + below[250:].var(0)) / 2
        assert torch.allclose(norm.running_var, variance, rtol=1e-4)  # type: ignore[arg-type]
        assert norm.momentum == 0.1
        assert not norm.training
