"""Rows keep their bits and their layout when they are selected and joined."""

from __future__ import annotations

import pytest
import torch

from engine.models.rows import join_rows, select_rows

LAYOUTS = {
    "contiguous": torch.randn(6, 3, 4, 5),
    "channels last": torch.randn(6, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "transposed": torch.randn(6, 4, 3).transpose(1, 2),
    "a slice": torch.randn(9, 4, 3).transpose(1, 2)[3:],
    "features": torch.randn(6, 7),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_rows_keep_bits_and_layout(name: str) -> None:
    x = LAYOUTS[name]
    rows = torch.tensor([5, 0, 0, 3])
    chosen = select_rows(x, rows)
    assert torch.equal(chosen, x[rows])
    assert chosen.stride() == x.stride()
    joined = join_rows([x[:2], x[2:]])
    assert torch.equal(joined, x)
    assert joined.stride() == x.stride()


def test_plain_indexing_would_change_the_layout() -> None:
    x = LAYOUTS["transposed"]
    assert x.index_select(0, torch.tensor([1])).stride() != x[:1].stride()
