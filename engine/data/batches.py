"""The order of the examples in an epoch, and preallocated batches."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.data.streamed import Examples, StreamedExamples
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

    def __init__(self, x: Examples, y: Tensor, capacity: int) -> None:
        self._streamed = x if isinstance(x, StreamedExamples) else None
        first = x[:1]
        self._channels_last = first.dim() == 4 and not first.is_contiguous()
        self._row_shape = self._rows_of(first).shape[1:]
        self._row_buffer = torch.empty(
            capacity, self._row_shape.numel(), dtype=x.dtype, device=x.device
        )
        self._label_buffer = torch.empty(capacity, dtype=y.dtype, device=y.device)
        self._labels = y
        self._rows = (
            torch.empty(0) if isinstance(x, StreamedExamples) else self._rows_of(x).view(len(x), -1)
        )

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The examples at `indices` (int64, on the same device), as views of the buffers."""
        count = len(indices)
        rows, labels = self._row_buffer[:count], self._label_buffer[:count]
        if self._streamed is not None:
            rows.copy_(self._rows_of(self._streamed[indices]).view(count, -1))
        else:
            torch.index_select(self._rows, 0, indices, out=rows)
        torch.index_select(self._labels, 0, indices, out=labels)
        shaped = rows.view(count, *self._row_shape)
        return (shaped.permute(0, 3, 1, 2) if self._channels_last else shaped), labels

    def _rows_of(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 1) if self._channels_last else x
        assert rows.is_contiguous()
        return rows
