"""Select and join rows of activations without changing how the numbers of a row lie in memory.

Kernels are chosen by the layout: a row in another layout can have other bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def select_rows(x: Tensor, rows: Tensor) -> Tensor:
    """The rows x[rows] in the layout of x, whose rows are dense."""
    return shape_rows(flatten_rows(x).index_select(0, rows), x.shape[1:], x.stride()[1:])


def join_rows(pieces: Sequence[Tensor]) -> Tensor:
    """The pieces one after the other, in the layout of the first; their rows are dense."""
    first = pieces[0]
    flat = torch.cat([flatten_rows(piece) for piece in pieces])
    return shape_rows(flat, first.shape[1:], first.stride()[1:])


def flatten_rows(x: Tensor) -> Tensor:
    """A view of the rows as they lie in memory, [n, numbers of a row]; they are dense."""
    size = x[0].numel()
    assert len(x) == 1 or x.stride(0) == size, "the rows are dense"
    return x.as_strided((len(x), size), (size, 1))


def shape_rows(flat: Tensor, shape: Sequence[int], strides: Sequence[int]) -> Tensor:
    """A view of flat rows [n, numbers] with the shape and the strides of a row."""
    return flat.as_strided((len(flat), *shape), (flat.shape[1], *strides))
