"""Evaluates a net on the test set in torch, in the batch size that is fastest on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BATCH = 1_000


@torch.no_grad()
def count_correct(net: nn.Module, images: Tensor, labels: Tensor) -> int:
    """The number of images that the net classifies correctly."""
    net.eval()
    correct = 0
    for x, y in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        correct += int((net(x).argmax(dim=1) == y).sum())
    return correct
