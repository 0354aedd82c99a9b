"""The order of an epoch, its division into batches, and batch buffers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.batches import BatchBuffers, epoch_order
from engine.data.bounds import batch_bounds, largest_batch


def test_the_order_of_an_epoch_is_a_permutation_given_by_seed_and_epoch() -> None:
    torch.manual_seed(0)
    order = epoch_order(3, 5, 101)
    assert sorted(order.tolist()) == list(range(101))
    torch.manual_seed(1)
    assert torch.equal(order, epoch_order(3, 5, 101))
    assert not torch.equal(order, epoch_order(3, 6, 101))
    assert not torch.equal(order, epoch_order(4, 5, 101))


@given(num_examples=st.integers(2, 400), batch_size=st.integers(2, 140))
@settings(max_examples=200, deadline=None)
def test_batches_cover_an_epoch_once_and_none_is_below_the_stable_size(
    num_examples: int, batch_size: int
) -> None:
    bounds = batch_bounds(num_examples, batch_size)
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(num_examples))
    sizes = [stop - start for start, stop in bounds]
    assert min(sizes) >= min(num_examples, 16 if batch_size >= 16 else 2)
    assert (
        max(sizes)
        == largest_batch(num_examples, batch_size)
        < batch_size + (16 if batch_size >= 16 else 2)
    )
    assert all(size == batch_size for size in sizes[:-1])


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_batch_buffers_equal_indexing(memory_format: torch.memory_format) -> None:
    x = torch.randn(50, 3, 4, 5).contiguous(memory_format=memory_format)
    y = torch.arange(50)
    buffers = BatchBuffers(x, y, 9)
    for count in (9, 4, 2):
        indices = torch.randperm(50)[:count]
        batch, labels = buffers.gather(indices)
        assert torch.equal(batch, x[indices])
        assert torch.equal(labels, y[indices])
        assert batch.is_contiguous(memory_format=memory_format)
