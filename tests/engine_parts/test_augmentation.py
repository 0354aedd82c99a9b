"""Random crops and flips."""

from __future__ import annotations

import torch

from engine.data.augmentation import PADDING, crop_flip, draw_crop_flips
from engine.data.bounds import batch_bounds


def _crop_flip_one(
    image: torch.Tensor, row: int, column: int, flip: bool, black: torch.Tensor
) -> torch.Tensor:
    channels, height, width = image.shape
    padded = (
        black.view(-1, 1, 1).expand(channels, height + 2 * PADDING, width + 2 * PADDING).clone()
    )
    padded[:, PADDING : PADDING + height, PADDING : PADDING + width] = image
    crop = padded[:, row : row + height, column : column + width]
    return crop.flip(2) if flip else crop


def test_crop_flip_equals_a_padded_crop_and_a_mirror() -> None:
    images, black = torch.randn(64, 3, 7, 9), torch.tensor([-1.0, -2.0, -3.0])
    draws = draw_crop_flips(1, 2, 100)
    for part in (draws.rows, draws.columns):
        assert set(part.tolist()) == set(range(2 * PADDING + 1))
    assert 25 < draws.flips.sum() < 75
    kept = images.clone()
    moved = crop_flip(images, draws, 30, black)
    assert torch.equal(images, kept)
    for i in range(64):
        at = 30 + i
        row, column, flip = int(draws.rows[at]), int(draws.columns[at]), bool(draws.flips[at])
        assert torch.equal(moved[i], _crop_flip_one(images[i], row, column, flip, black))


def test_augmentation_depends_on_the_position_not_on_the_batches() -> None:
    images, black = torch.randn(50, 1, 8, 8), torch.zeros(1)
    draws = draw_crop_flips(0, 0, 50)
    whole = crop_flip(images, draws, 0, black)
    parts = [
        crop_flip(images[start:stop], draws, start, black) for start, stop in batch_bounds(50, 7)
    ]
    assert torch.equal(torch.cat(parts), whole)
    longer = draw_crop_flips(0, 0, 60)
    assert torch.equal(longer.rows[:50], draws.rows)
    assert torch.equal(longer.flips[:50], draws.flips)
