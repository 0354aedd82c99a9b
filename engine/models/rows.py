"""Select and join rows of activations without changing how the numbers of a row lie in memory.

Kernels are chosen by the layout: a row in another layout can have other bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def select_rows(x: Tensor, rows: Tensor) -> Tensor:
    """The rows x[rows] in the layout of x, whose rows are dense."""
    return _shaped(_flat(x).index_select(0, rows), x)


def join_rows(pieces: Sequence[Tensor]) -> Tensor:
    """The pieces one after the other, in the layout of the first; their rows are dense."""
    return _shaped(torch.cat([_flat(piece) for piece in pieces]), pieces[0])


def _flat(x: Tensor) -> Tensor:
    """The rows as they lie in memory, [n, numbers of a row]."""
    size = x[0].numel()
    assert len(x) == 1 or x.stride(0) == size, "the rows are dense"
    return x.as_strided((len(x), size), (size, 1))


def _shaped(flat: Tensor, like: Tensor) -> Tensor:
    return flat.as_strided((len(flat), *like.shape[1:]), (flat.shape[1], *like.stride()[1:]))
