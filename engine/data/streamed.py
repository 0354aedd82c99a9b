"""Examples that stay on the host as they are stored and become float32 batch by batch."""

from __future__ import annotations

from math import prod
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from engine.data.npz import Array


def normalise(stored: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """float32 examples from stored ones, uint8 or float32; the argument is not changed.

    stored: [n, channels, height, width] or [n, features]. mean, std: float32 [channels] or
    [features], in units of pixels in [0, 1] for uint8, else of the stored values. Each value is
    computed by itself, so its bits do not depend on the batch.
    """
    view = (1, -1, *[1] * (stored.dim() - 2))
    x = stored.to(torch.float32)
    x = x.div_(255.0) if stored.dtype == torch.uint8 else x.clone()
    return x.sub_(mean.view(view)).div_(std.view(view))


class StreamedExamples:
    """Stands where a tensor of examples does: a slice or indices give float32 on the device.

    The values have the bits of those that `normalise` computes for the whole set. stored: uint8 or
    float32 [n, channels, height, width] or [n, features] on the host, possibly a mapped file.
    """

    def __init__(
        self,
        stored: Array,
        mean: Tensor,
        std: Tensor,
        *,
        device: torch.device | str = "cpu",
        row_shape: tuple[int, ...] | None = None,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self._stored = stored
        self.device = torch.device(device)
        self._mean, self._std = mean.to(self.device), std.to(self.device)
        self._row_shape = stored.shape[1:] if row_shape is None else row_shape
        self._memory_format = memory_format

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """Examples of a slice, or at indices (int64)."""
        chosen = rows if isinstance(rows, slice) else rows.cpu().numpy()
        return self._convert(self._stored[chosen])

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self._stored), *self._row_shape))

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    @property
    def nbytes(self) -> int:
        """Of the stored values."""
        return self._stored.nbytes

    def dim(self) -> int:
        return 1 + len(self._row_shape)

    def to(self, device: torch.device | str) -> StreamedExamples:
        """The same examples; batches then are on `device`."""
        return self._like(device=device)

    def contiguous(
        self, memory_format: torch.memory_format = torch.contiguous_format
    ) -> StreamedExamples:
        """The same examples; batches then have this memory format."""
        return self._like(memory_format=memory_format)

    def reshape(self, *shape: int) -> StreamedExamples:
        """The same examples, each of another shape; only (n, -1) is possible."""
        assert shape == (len(self), -1)
        return self._like(row_shape=(prod(self._row_shape),))

    def _convert(self, stored: Array) -> Tensor:
        # a mapped file cannot be written to, and torch takes no such array
        host = torch.from_numpy(np.array(stored)).to(self.device)
        x = normalise(host, self._mean, self._std).view(len(host), *self._row_shape)
        return x.contiguous(memory_format=self._memory_format)

    def _like(self, **changes: Any) -> StreamedExamples:
        same: dict[str, Any] = {
            "device": self.device,
            "row_shape": self._row_shape,
            "memory_format": self._memory_format,
        }
        return StreamedExamples(self._stored, self._mean, self._std, **(same | changes))


Examples = Tensor | StreamedExamples
AnyExamples = TypeVar("AnyExamples", Tensor, StreamedExamples, Tensor | StreamedExamples)
