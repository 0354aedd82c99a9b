"""Whether a row has the same bits at any place in a batch."""

from __future__ import annotations

import pytest
import torch

from engine.data.bounds import SMALLEST_STABLE_BATCH
from engine.determinism import deterministic
from engine.models.spec import ModelSpec, ReluNetSpec, Vgg5Spec
from engine.models.stability import count_stable_layers
from tests.engine_parts.nets import DIGITS, build


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        (ReluNetSpec(width=100, depth=1), (17, 31, 64, 127, 128, 143, 250, 256)),
        (ReluNetSpec(width=40, depth=4), (18, 33, 96, 128, 143, 256)),
        (Vgg5Spec(width_multiplier=0.25), (17, 33, 128)),
    ],
    ids=["relu_net-100", "relu_net-40", "vgg5"],
)
def test_a_row_has_the_same_bits_in_any_batch_of_sixteen_or_more(
    model: ModelSpec, sizes: tuple[int, ...], num_threads: int
) -> None:
    """The frozen-prefix cache depends on this on the CPU. On more threads it holds on some
    processors only, and `count_stable_layers` tells where.

    It is also why a small last batch is joined to the one before it.
    """
    x = torch.randn(256, *DIGITS.shape, generator=torch.Generator().manual_seed(0))
    with deterministic(True, num_threads), torch.no_grad():
        net = build(model).eval()
        whole = net(x)
        for size in (SMALLEST_STABLE_BATCH, *sizes):
            chosen = torch.randperm(256, generator=torch.Generator().manual_seed(size))[:size]
            is_stable = count_stable_layers(net, x, {size, 256}) == len(net.layers)
            assert is_stable == torch.equal(net(x[chosen]), whole[chosen]), size
            assert is_stable or num_threads > 1, size


class PositionalLayer(torch.nn.Module):
    """Changes the bits of the last row of a batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        y[-1] *= 1 + 1e-6
        return y


def test_a_layer_whose_rows_depend_on_their_place_is_not_stable() -> None:
    net = build(ReluNetSpec(width=32, depth=3))
    x = torch.randn(143, *DIGITS.shape)
    with deterministic(True, 1):
        assert count_stable_layers(net, x, (16, 128, 143)) == 4
        net.layers[2].add_module("linear", PositionalLayer())
        assert count_stable_layers(net, x, (16, 128, 143)) == 2
    assert net.training


def test_a_narrow_unaligned_layer_counts_as_stable_only_if_it_is() -> None:
    """A width of 10 is stable on some machines only; the answer must be right on each."""
    net = build(ReluNetSpec(width=10, depth=4))
    x = torch.randn(128, *DIGITS.shape)
    with deterministic(True, 1), torch.no_grad():
        level = count_stable_layers(net, x, (128,))
        for seed in range(5):
            order = torch.randperm(128, generator=torch.Generator().manual_seed(seed))
            assert torch.equal(net(x[order], 0, level), net(x, 0, level)[order])
