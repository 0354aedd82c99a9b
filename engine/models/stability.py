"""Measure whether a row's forward pass has the same bits at any place in a batch."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from engine.determinism import make_generator
from engine.models.net import LayeredNet
from engine.models.rows import select_rows


@torch.no_grad()
def count_stable_layers(net: LayeredNet, images: Tensor, batch_sizes: Collection[int]) -> int:
    """How many layers, from the bottom, give a row the same bits in batches of all these sizes.

    images: examples of the data [n, channels, height, width] on the net's device, at least as many
    as the largest batch. Kernels are chosen by shape and by the alignment of rows, so a few batches
    are enough. With one thread of a CPU all layers are stable from 16 rows on, except linear layers
    of few outputs whose number of inputs is not a multiple of 4 floats (a ReLU-Net of width 10:
    every row has another alignment). With two, some processors divide a product by its number of
    rows, so that its bits depend on it. On a GPU they are stable for equal sizes only. The net is
    not changed.
    """
    largest = max(batch_sizes)
    assert len(images) >= largest
    was_training = net.training
    net.eval()
    h = images[:largest].clone(memory_format=torch.preserve_format)
    stable = 0
    for index in range(len(net.layers)):
        after = net(h, index, index + 1)
        if not all(_keeps_bits(net, index, h, after, size) for size in batch_sizes):
            break
        h = after
        stable += 1
    net.train(was_training)
    return stable


def _keeps_bits(net: LayeredNet, index: int, h: Tensor, after: Tensor, size: int) -> bool:
    """Whether rows drawn into a batch of `size` have the bits of the large batch; two draws."""
    for draw in range(2):
        generator = make_generator(0, "stability", index, size, draw)
        chosen = torch.randperm(len(h), generator=generator)[:size].to(h.device)
        if not torch.equal(net(select_rows(h, chosen), index, index + 1), after[chosen]):
            return False
    return True
