"""The division of an epoch into batches; imports no torch."""

from __future__ import annotations

SMALLEST_STABLE_BATCH = 16
"""From this batch size on, the forward pass of a row has the same bits in every batch on the CPU.

Matrix products of fewer rows use other kernels. The sizes that differ depend on the machine: only 1
on some; on others 1 to 3, or 1 to 11 except multiples of 4, in linear layers, and 1 to 15 in 1x1
convolutions.
"""


def batch_bounds(num_examples: int, batch_size: int) -> tuple[tuple[int, int], ...]:
    """(start, stop) of each batch: `batch_size` examples each, the last one holds the rest.

    A last batch of fewer than 16 examples (of one example, if batch_size is below 16) is joined to
    the batch before it: its rows would have other bits than in a larger batch, and batch
    normalisation cannot train on one example. num_examples and batch_size are at least 2.
    """
    assert num_examples >= 2
    assert batch_size >= 2
    smallest = SMALLEST_STABLE_BATCH if batch_size >= SMALLEST_STABLE_BATCH else 2
    starts = list(range(0, num_examples, batch_size))
    if len(starts) > 1 and num_examples - starts[-1] < smallest:
        starts.pop()
    return tuple(zip(starts, [*starts[1:], num_examples], strict=True))


def num_batches(num_examples: int, batch_size: int) -> int:
    """The length of `batch_bounds`, computed without building it."""
    smallest = SMALLEST_STABLE_BATCH if batch_size >= SMALLEST_STABLE_BATCH else 2
    whole, rest = divmod(num_examples, batch_size)
    return max(1, whole + (rest >= smallest))


def largest_batch(num_examples: int, batch_size: int) -> int:
    """The number of examples in the largest batch of `batch_bounds`."""
    return max(stop - start for start, stop in batch_bounds(num_examples, batch_size))
