"""The order of the examples in an epoch, and preallocated batches."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.determinism import make_generator


def epoch_order(seed: int, epoch: int, num_examples: int) -> Tensor:
    """A permutation of the train set, int64 on the CPU; a function of (seed, epoch) alone.

    seed: the run's seed. epoch: epochs finished before this one.
    """
    return torch.randperm(num_examples, generator=make_generator(seed, "order", epoch))


class BatchBuffers:
    """Memory of one batch, filled again at each step, so that the loop allocates nothing.

    x: [n, ...], y: [n], on one device; batches have the memory format of x (contiguous or
    channels_last). capacity: examples in the largest batch. A batch is valid until the next
    `gather`.
    """

    def __init__(self, x: Tensor, y: Tensor, capacity: int) -> None:
        self._channels_last = x.dim() == 4 and not x.is_contiguous()
        rows = x.permute(0, 2, 3, 1) if self._channels_last else x
        assert rows.is_contiguous()
        self._row_shape = rows.shape[1:]
        self._rows = rows.view(len(x), -1)
        self._labels = y
        self._row_buffer = torch.empty(
            capacity, self._rows.shape[1], dtype=x.dtype, device=x.device
        )
        self._label_buffer = torch.empty(capacity, dtype=y.dtype, device=y.device)

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The examples at `indices` (int64, on the same device), as views of the buffers."""
        count = len(indices)
        rows, labels = self._row_buffer[:count], self._label_buffer[:count]
        torch.index_select(self._rows, 0, indices, out=rows)
        torch.index_select(self._labels, 0, indices, out=labels)
        shaped = rows.view(count, *self._row_shape)
        return (shaped.permute(0, 3, 1, 2) if self._channels_last else shaped), labels
