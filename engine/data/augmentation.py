"""Random crops and flips of train images, on their device (paper, Section 3: CIFAR-10)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.determinism import make_generator

PADDING = 4
"""Pixels added on each side before the crop."""


@dataclass(frozen=True, slots=True)
class CropFlips:
    """The draws of one epoch, one per position in the epoch's order."""

    rows: Tensor
    """int64 [n]: first row of the crop in the padded image, 0 to 2 * PADDING"""
    columns: Tensor
    flips: Tensor
    """bool [n]: mirrored left to right"""

    def to(self, device: torch.device | str) -> CropFlips:
        """The same draws on another device."""
        return CropFlips(self.rows.to(device), self.columns.to(device), self.flips.to(device))


def draw_crop_flips(seed: int, epoch: int, num_examples: int) -> CropFlips:
    """The draws of one epoch, on the CPU.

    Those of position i are a function of (seed, epoch, i), independent of the batches.
    """
    generator = make_generator(seed, "crop_flip", epoch)
    # the three numbers of an example are adjacent
    drawn = torch.rand(num_examples, 3, generator=generator)
    offsets = drawn[:, :2].mul(2 * PADDING + 1).long()
    return CropFlips(offsets[:, 0].contiguous(), offsets[:, 1].contiguous(), drawn[:, 2] < 0.5)


def crop_flip(images: Tensor, draws: CropFlips, start: int, black: Tensor) -> Tensor:
    """Shift and mirror each image as drawn.

    images: [b, channels, height, width], at positions start to start + b of the epoch; not changed.
    draws: on the images' device. black: [channels], a black pixel after normalisation, which fills
    the padding.
    """
    count, channels, height, width = images.shape
    part = slice(start, start + count)
    device = images.device
    rows = torch.arange(height, device=device) + (draws.rows[part, None] - PADDING)  # [b, height]
    columns = torch.arange(width, device=device).expand(count, width)
    columns = torch.where(draws.flips[part, None], width - 1 - columns, columns)
    columns = columns + (draws.columns[part, None] - PADDING)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None, :
    ]
    flat = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    index = flat.view(count, 1, -1).expand(count, channels, -1)
    moved = (
        images.reshape(count, channels, -1).gather(2, index).view(count, channels, height, width)
    )
    return torch.where(inside[:, None], moved, black.view(1, -1, 1, 1))
