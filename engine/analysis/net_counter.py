"""How many images a net classifies correctly, with whatever weights it has."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from engine.data.bounds import batch_bounds
from engine.data.streamed import Examples
from engine.models.net import LayeredNet
from engine.training.module_learner import EVALUATION_BATCH


class NetCounter:
    """Counts the images that a net classifies correctly.

    images: as in `ResidentData`. labels: int64 [n]. autocasts: evaluate in bf16.
    """

    def __init__(
        self, net: LayeredNet, images: Examples, labels: Tensor, autocasts: bool = False
    ) -> None:
        self._net, self._labels, self._autocasts = net, labels, autocasts
        self._images = images
        if any(isinstance(module, nn.Conv2d) for module in net.modules()):
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._images = images.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def count_correct(self) -> int:
        """With the weights that the net has now."""
        net = self._net.eval()
        device = self._labels.device
        correct = torch.zeros((), dtype=torch.int64, device=device)
        for start, stop in batch_bounds(len(self._labels), EVALUATION_BATCH):
            with (
                torch.autocast(device.type, dtype=torch.bfloat16)
                if self._autocasts
                else nullcontext()
            ):
                logits = net(self._images[start:stop]).float()
            correct += (logits.argmax(dim=1) == self._labels[start:stop]).sum()
        return int(correct)
