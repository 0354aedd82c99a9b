"""The layers of a module are what lies between its articulation points and holds parameters."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import ModelRejected
from engine.models.traced.layer import build_layers
from engine.models.traced.plan import plan_layers
from tests.traced.nets import (
    Residual,
    describe_layers,
    find_layers,
    names,
    small_residual_net,
    small_transformer,
)


def test_a_residual_block_is_one_layer_and_a_lone_norm_belongs_to_the_layer_before() -> None:
    assert names(find_layers(small_residual_net())) == [
        ["0.weight", "0.bias", "2.weight", "2.bias"],
        ["3.conv.weight", "3.conv.bias", "3.norm.weight", "3.norm.bias"],
        ["5.conv.weight", "5.conv.bias", "5.norm.weight", "5.norm.bias"],
        ["7.weight", "7.bias"],
    ]


def test_a_transformer_block_is_two_layers() -> None:
    found = names(find_layers(small_transformer()))
    assert [layer[0] for layer in found] == [
        "0.weight",
        "1.first",
        "2.norm1.weight",
        "2.norm2.weight",
        "3.norm1.weight",
        "3.norm2.weight",
        "5.linear.weight",
    ]
    assert "4.weight" in found[5], "the last norm stands alone"


def test_what_holds_no_parameters_belongs_to_the_layer_before_and_at_the_bottom_to_the_first() -> (
    None
):
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(36, 5), nn.Tanh(), nn.Dropout(0.1), nn.Linear(5, 3), nn.Sigmoid()
    )
    low, top = find_layers(net)
    x = torch.randn(2, 1, 6, 6)
    low.eval(), top.eval()
    assert torch.equal(low(x), torch.tanh(net[1](x.flatten(1))))
    assert torch.equal(top(low(x)), net.eval()(x))


@pytest.mark.parametrize("make", [small_residual_net, small_transformer])
@pytest.mark.parametrize("is_training", [False, True])
def test_the_layers_have_the_bits_of_the_module_forward_and_backward(
    make: type[nn.Module], is_training: bool
) -> None:
    net = make()
    layers = find_layers(net)
    net.train(is_training)
    x, y = torch.randn(5, 1, 6, 6), torch.tensor([0, 1, 2, 0, 1])
    torch.manual_seed(1)
    whole = net(x)
    expected = torch.autograd.grad(functional.cross_entropy(whole, y), list(net.parameters()))
    torch.manual_seed(1)
    h = x
    for layer in layers:
        layer.train(is_training)
        h = layer(h)
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    by_id = dict(
        zip(
            map(id, parameters),
            torch.autograd.grad(functional.cross_entropy(h, y), parameters),
            strict=True,
        )
    )
    assert torch.equal(h, whole)
    for parameter, gradient in zip(net.parameters(), expected, strict=True):
        assert torch.equal(by_id[id(parameter)], gradient)


class KeepsCount(nn.Module):
    """Uses the number of examples of its input at its end, and a side of the images."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.top = nn.Linear(6, 6), nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        shape = x.shape
        count, side = shape[0], shape[-1]
        h = self.low(x.reshape(count * side, side))
        h = torch.relu(h.reshape(count, side, side))
        return self.top(h.reshape(count, -1)).view(count, 3)


def test_a_number_of_examples_kept_from_below_is_no_obstacle_to_a_cut() -> None:
    layers = find_layers(KeepsCount())
    assert names(layers) == [["low.weight", "low.bias"], ["top.weight", "top.bias"]]
    for count in (1, 4):
        x = torch.randn(count, 1, 6, 6)
        assert layers[1](layers[0](x)).shape == (count, 3)


class WritesIntoItsInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.low, self.middle, self.top = (nn.Linear(36, 36) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        h = self.low(x.flatten(1))
        h = self.middle(h.relu_()) + h
        return self.top(h)


def test_a_layer_never_changes_its_input() -> None:
    net = WritesIntoItsInput()
    layers = find_layers(net)
    assert len(layers) == 3
    x = torch.randn(2, 1, 6, 6)
    h = layers[0](x)
    before = h.clone()
    after = layers[1](h)
    assert torch.equal(h, before)
    assert torch.equal(layers[2](after), net(x))


def test_traits_tell_dropout_and_batch_normalisation() -> None:
    layers = describe_layers(find_layers(small_residual_net()), (1, 6, 6), 3)
    assert [one.normalises_by_batch for one in layers] == [True, True, True, False]
    assert [one.is_random for one in layers] == [False, True, False, False]
    transformer = describe_layers(find_layers(small_transformer()), (1, 6, 6), 3)
    assert not any(one.normalises_by_batch or one.is_random for one in transformer)
    instance = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.InstanceNorm2d(2), nn.Flatten(), nn.Linear(72, 3)
    )
    assert not any(
        one.normalises_by_batch for one in describe_layers(find_layers(instance), (1, 6, 6), 3)
    )


def test_a_lone_instance_normalisation_belongs_to_the_layer_before() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 1),
        nn.ReLU(),
        nn.InstanceNorm2d(2, affine=True),
        nn.Flatten(),
        nn.Linear(72, 3),
    )
    assert [layer[0] for layer in names(find_layers(net))] == ["0.weight", "4.weight"]


def test_flops_and_saved_floats_are_those_of_arithmetic() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)
    )
    low, top = describe_layers(find_layers(net), (1, 6, 6), 3)
    assert (low.forward_flops, top.forward_flops) == (2 * 9 * 4 * 36, 2 * 4 * 36 * 3)
    assert (low.saved_floats, low.activation_size, low.kind) == (4 * 36, 4 * 36, "conv")
    assert (top.num_parameters, top.output_shape, top.kind) == (4 * 36 * 3 + 3, (3,), "linear")


def test_the_author_s_groups_replace_what_is_found() -> None:
    layers = find_layers(small_residual_net(), groups=[["0", "2", "3"], ["5", "7"]])
    assert [layer[0] for layer in names(layers)] == ["0.weight", "5.conv.weight"]


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ([["0", "2"], ["3"]], "names no group for 5.conv.weight"),
        ([["0", "2"], ["3.conv"], ["3.norm", "5"], ["7"]], "parts 3.conv.weight and 3.norm.bias"),
        ([["3", "0", "2"], ["7"], ["5"]], "not in the order of the computation"),
        ([["0", "2", "3", "5", "7"], ["nothing"]], "uses no parameter of the group"),
    ],
)
def test_groups_that_do_not_fit_are_refused_with_the_names(
    groups: list[list[str]], reason: str
) -> None:
    with pytest.raises(ModelRejected, match=reason):
        find_layers(small_residual_net(), groups=groups)


class Decides(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = -x
        return self.top(x.flatten(1))


class Unused(Decides):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.top(x.flatten(1))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.low, self.other, self.top = nn.Linear(36, 36), nn.Linear(36, 36), nn.Linear(36, 3)
        self.other.weight = self.low.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.top(self.other(self.low(x.flatten(1))))


class Repeated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.low, self.top = nn.Linear(36, 36), nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.top(self.low(torch.relu(self.low(x.flatten(1)))))


class Pair(Unused):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return self.top(x.flatten(1)), self.extra.weight


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (Decides(), r"test_layers_found.py, line \d+, in forward"),
        (Unused(), "2 parameters are never used: extra.weight, extra.bias"),
        (Tied(), "low.weight and other.weight are one parameter"),
        (Repeated(), "low.weight is used by layer 0 and again by layer 1"),
        (Pair(), "forward returns a tuple"),
        (nn.Flatten(), "no parameters"),
        (nn.Linear(7, 3), r"fails on 2 examples of shape \[1, 6, 6\]"),
        (nn.Sequential(nn.Linear(6, 3, dtype=torch.float64)), "float64"),
    ],
)
def test_a_net_that_cannot_be_used_is_refused_with_the_reason(net: nn.Module, reason: str) -> None:
    with pytest.raises(ModelRejected, match=reason):
        find_layers(net)


def test_scores_of_another_number_of_classes_are_refused() -> None:
    layers = find_layers(small_residual_net())
    with pytest.raises(ModelRejected, match=r"returns \[2, 3\] .* must return \[2, 10\]"):
        describe_layers(layers, (1, 6, 6), 10)


def test_layers_are_found_without_numbers_on_the_meta_device() -> None:
    with torch.device("meta"):
        net = small_transformer()
    assert len(find_layers(net)) == 7


def test_a_deep_chain_has_one_layer_for_each_block() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 1), *(Residual(2) for _ in range(20)), nn.Flatten(), nn.Linear(72, 3)
    )
    layers = find_layers(net)
    assert len(layers) == 22
    assert all(low[0] != high[0] for low, high in pairwise(names(layers)))


class Weighted(nn.Module):
    """Its forward pass makes a tensor of itself, and computes something of a buffer."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.low, self.top = nn.Linear(36, 4), nn.Linear(4, 3)
        self.register_buffer("scale", torch.arange(4.0).view(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
        h = self.low(x.flatten(1)) * weights + self.scale.view(-1)
        return self.top(h)


def test_tensors_that_the_forward_pass_makes_belong_to_the_layer_and_not_to_its_state() -> None:
    with torch.device("meta"):
        plans = plan_layers(Weighted(), (1, 6, 6))
    module = Weighted()
    layers = build_layers(module, plans, [False] * len(plans))
    x = torch.randn(2, 1, 6, 6)

    def through(x: Tensor) -> Tensor:
        for layer in layers:
            x = layer(x)
        return x

    assert torch.equal(through(x), module(x))
    assert sorted(key for layer in layers for key in layer.state_dict()) == [
        *("low.bias", "low.weight", "scale", "top.bias", "top.weight")
    ]
    with torch.no_grad():
        module.get_buffer("scale").add_(1)
    assert torch.equal(through(x), module(x)), "a buffer's numbers are read when they are used"


def test_random_numbers_that_tracing_would_draw_once_are_refused() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low = nn.Linear(36, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.low(x.flatten(1)) + torch.randn(4)

    with torch.device("meta"):
        module = Noisy()
    before = torch.get_rng_state()
    with pytest.raises(ModelRejected, match="does not depend on its input"):
        plan_layers(module, (1, 6, 6))
    assert torch.equal(torch.get_rng_state(), before)
