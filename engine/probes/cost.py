"""What probes compute and hold, and the bound on their memory. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from engine.probes.spec import ProbesSpec

JACOBIAN_BYTES = 512 << 20
"""The most memory of the rows of Jacobians, and of the activations to compute them, at a time;
more only where two rows alone take more."""
_FLOAT, _DOUBLE = 4, 8


@dataclass(frozen=True, slots=True)
class NetSize:
    """What the cost of probes needs of a net."""

    parameters: int
    forward_flops: int
    """of one example, as the others"""
    gradient_flops: int
    saved_floats: int
    """kept for the backward pass"""
    largest_layer: int
    """the most that one layer keeps"""
    num_classes: int


@dataclass(frozen=True, slots=True)
class ProbeWork:
    """The probes of one seed in one training."""

    flops: int = 0
    moved_floats: int = 0
    """Activations and rows of Jacobians, each time that they are written or read"""
    passes: int = 0
    """Forward passes, with or without derivatives"""
    num_bytes: int = 0
    """Peak memory; `seed_bytes` is held for every seed of a group"""
    seed_bytes: int = 0


def rows_at_once(num_rows: int, parameters: int, saved_floats: int) -> int:
    """Rows of one block of a Jacobian, at most JACOBIAN_BYTES: two blocks are held, and the
    activations and their gradients of one.

    saved_floats: activations of one example that the backward pass needs.
    """
    floats = 2 * parameters + 2 * saved_floats
    return max(1, min(num_rows, JACOBIAN_BYTES // (_FLOAT * floats)))


def measure_work(probes: ProbesSpec, epochs: int, net: NetSize) -> ProbeWork:
    """The work of the probes in a training of so many epochs.

    A forward-mode product costs three forward passes: the layer's own, and one for the tangent of
    its input and of its weights each.
    """
    moments, n = probes.count_epochs(epochs), probes.examples
    flops = moved = passes = num_bytes = seed_bytes = 0
    if "features" in probes.quantities:
        flops += moments * n * 2 * net.forward_flops
        moved += moments * n * 2 * net.saved_floats
        passes += moments * 2
        num_bytes = max(num_bytes, (2 * _FLOAT + 2 * _DOUBLE) * n * net.largest_layer)
    if "linearised" in probes.quantities:
        flops += moments * n * 4 * net.forward_flops
        moved += moments * n * 3 * net.saved_floats
        passes += moments * 2
        num_bytes = max(num_bytes, 4 * _FLOAT * n * net.largest_layer)
    if "tangent_kernel" in probes.quantities:
        rows = probes.count_rows(net.num_classes)
        at_once = rows_at_once(rows, net.parameters, net.saved_floats)
        kernels = moments + 1  # and one at the start
        computed = _count_computed_rows(rows, at_once)
        products = rows * (rows + at_once) * net.parameters
        flops += kernels * (computed * net.gradient_flops + products)
        moved += kernels * computed * (3 * net.saved_floats + net.parameters)
        passes += kernels * -(-computed // at_once)
        block = _FLOAT * at_once * 2 * (net.parameters + net.saved_floats)
        num_bytes = max(num_bytes, block + 3 * _DOUBLE * rows**2)
        seed_bytes = _DOUBLE * rows**2
    own_net_and_tensors = 4 * _FLOAT * net.parameters  # structure, start, now, their difference
    return ProbeWork(flops, moved, passes, num_bytes + own_net_and_tensors, seed_bytes)


def _count_computed_rows(num_rows: int, at_once: int) -> int:
    """Rows computed for one kernel: each pair of different blocks needs the later one again."""
    blocks = -(-num_rows // at_once)
    return sum(num_rows - block * at_once for block in range(blocks))
