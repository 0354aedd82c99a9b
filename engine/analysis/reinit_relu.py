"""The sweep of a ReLU-Net: both modes share the first layer, nearly all of a shallow net's work.

With D = theta_T - theta_R in the first layer and D_k its part at the first k parameters of the
order, a batch X gives X W_active = X W_T - X D_k and X W_lazy = X W_R + X D_k. As k grows D_k only
gains entries, so X D_k is a running sum over the gains, which are sparse: all counts together cost
one product's multiply-adds. Sums in another order round differently, so an image whose two best
classes are equal up to rounding may be classified differently than by the net itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.analysis.fractions import Mode
from engine.analysis.mixture import Mixtures
from engine.data.resident import ResidentData
from engine.data.streamed import Examples

BLOCK_IMAGES = 1024
"""Test images per block on the CPU; fewer where activations would take more than BLOCK_BYTES."""
BLOCK_BYTES = {"cpu": 64 << 20, "cuda": 1 << 30}
GROUP_BYTES = {"cpu": 256 << 20, "cuda": 8 << 30}
"""Most memory of upper layers' mixtures, and of the first layer's gains, at a time."""
SPARSE_DENSITY = 0.2
"""Share of entries from which a dense product is as fast as a sparse one on the CPU."""

Upper = list[tuple[Tensor, Tensor]]
"""Weight [out, in] and bias [out, 1] of each layer above the first."""


@torch.no_grad()
def count_correct_relu(
    mixtures: Mixtures,
    data: ResidentData,
    modes: Sequence[Mode],
    positions: Sequence[int],
    on_progress: Callable[[float], None],
) -> dict[tuple[Mode, int], int]:
    """Number of test images that each mode's mixture classifies correctly at each position.

    positions: ascending, of the ranking. on_progress: called before each block of images with the
    completed share, 0 to 1.
    """
    first = _FirstLayer(mixtures, data.x_test)
    device = data.y_test.device
    hits = {
        (mode, position): torch.zeros((), dtype=torch.int64, device=device)
        for position in positions
        for mode in modes
    }
    size = _group_size(mixtures, first, len(modes))
    for start in range(0, len(positions), size):
        steps = [
            _Step(
                gain,
                {mode: _mix_upper(mixtures, first, mode, position) for mode in modes},
                position,
            )
            for position, gain in first.gains(positions[start : start + size])
        ]
        held = len(steps) / len(positions)
        for images, block in first.blocks(len(data.y_test)):
            on_progress(start / len(positions) + held * block.start / len(data.y_test))
            _count_block(first, images, data.y_test[block], steps, hits)
    return {key: int(count) for key, count in hits.items()}


@dataclass(frozen=True, slots=True)
class _Step:
    """One position of the ranking: the gain of D, and each mode's layers above the first."""

    gain: Tensor
    """[w, inputs + 1], sparse (CSR) or dense."""
    upper: dict[Mode, Upper]
    position: int


class _FirstLayer:
    """Weights and bias as one matrix [w, inputs + 1]; images [inputs + 1, n] end in ones."""

    def __init__(self, mixtures: Mixtures, images: Examples) -> None:
        shapes = [parameter.shape for parameter in mixtures.net.parameters()]
        self.width, num_inputs = shapes[0]
        self.upper_shapes = shapes[2:]
        self.stop = self.width * num_inputs + self.width
        """Index in [p] at which the second layer begins."""
        self.trained, self.reset = self._join(mixtures.flat_T), self._join(mixtures.flat_R)
        self._difference = self.trained - self.reset
        self._groups = self._join(mixtures.ranking.groups)
        self._images = images.reshape(len(images), -1)
        self.device_type = images.device.type

    def _join(self, flat: Tensor) -> Tensor:
        split = self.stop - self.width
        return torch.cat(
            [flat[:split].view(self.width, -1), flat[split : self.stop].view(-1, 1)], dim=1
        )

    def blocks(self, num_images: int) -> Iterator[tuple[Tensor, slice]]:
        """Yield (images [inputs + 1, n], their slice) of the test set, block by block."""
        size = max(128, BLOCK_BYTES[self.device_type] // (4 * self.width))
        if self.device_type == "cpu":
            size = min(size, BLOCK_IMAGES)
        for start in range(0, num_images, size):
            block = slice(start, min(start + size, num_images))
            images = self._images[block].t()
            yield torch.cat([images, torch.ones_like(images[:1])]), block

    def gains(self, positions: Sequence[int]) -> list[tuple[int, Tensor]]:
        """(position, gain): the entries of D beyond those of the previous position.

        The first gain holds all entries up to its position.
        """
        found = []
        lowest = 0
        for position in positions:
            found.append(
                (position, self._select((self._groups >= lowest) & (self._groups <= position)))
            )
            lowest = position + 1
        return found

    def _select(self, chosen: Tensor) -> Tensor:
        """D at the chosen entries and zero elsewhere; sparse where that is faster, else dense."""
        if self.device_type != "cpu" or int(chosen.sum()) > SPARSE_DENSITY * chosen.numel():
            return torch.where(chosen, self._difference, 0)
        places = chosen.view(-1).nonzero().squeeze(1)
        starts = torch.zeros(self.width + 1, dtype=torch.int64)
        torch.cumsum(chosen.sum(dim=1), 0, out=starts[1:])
        columns = (places % chosen.shape[1]).int()
        values = self._difference.view(-1)[places]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch says that the layout is in beta
            return torch.sparse_csr_tensor(
                starts.int(), columns, values, chosen.shape, check_invariants=False
            )


def _group_size(mixtures: Mixtures, first: _FirstLayer, num_modes: int) -> int:
    """How many positions are kept in memory at a time."""
    floats = num_modes * (mixtures.num_parameters - first.stop)
    if first.device_type != "cpu":
        floats += first.stop  # a dense gain; sparse ones sum to one D
    return int(max(1, GROUP_BYTES[first.device_type] // (4 * floats)))


def _mix_upper(mixtures: Mixtures, first: _FirstLayer, mode: Mode, position: int) -> Upper:
    flat = mixtures.mix(mode, position, slice(first.stop, None))
    parts = torch.split(flat, [shape.numel() for shape in first.upper_shapes])
    tensors = [part.view(shape) for part, shape in zip(parts, first.upper_shapes, strict=True)]
    return [
        (weight, bias.view(-1, 1)) for weight, bias in zip(tensors[::2], tensors[1::2], strict=True)
    ]


def _count_block(
    first: _FirstLayer,
    images: Tensor,
    labels: Tensor,
    steps: Sequence[_Step],
    hits: dict[tuple[Mode, int], Tensor],
) -> None:
    """Add the correct classifications of one block to `hits`, position by position."""
    trained, reset = first.trained @ images, first.reset @ images
    moved, hidden = torch.zeros_like(trained), torch.empty_like(trained)
    for step in steps:
        torch.addmm(moved, step.gain, images, out=moved)
        for mode, upper in step.upper.items():
            if mode == "active":
                torch.sub(trained, moved, out=hidden)
            else:
                torch.add(reset, moved, out=hidden)
            hits[mode, step.position].add_((_classify(hidden.relu_(), upper) == labels).sum())


def _classify(hidden: Tensor, upper: Upper) -> Tensor:
    """Classes [n] of the first layer's activations [w, n]."""
    for weight, bias in upper[:-1]:
        hidden = torch.addmm(bias, weight, hidden).relu_()
    weight, bias = upper[-1]
    return torch.addmm(bias, weight, hidden).argmax(dim=0)
