"""The empirical tangent kernel of the probe batch, now against at the start."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor
from torch.func import grad, vmap

from engine.probes.alignment import centred_alignment, one_hot_kernel
from engine.probes.net import ProbeNet, Theta


def measure_kernel(net: ProbeNet, start: Tensor, now: Tensor) -> dict[str, float]:
    """`kernel_distance`, `kernel_turn` and `kernel_alignment` of two kernels of one batch.

    start, now: float64, of `tangent_kernel`.
    """
    turned = now / now.norm() - start / start.norm()  # 1 - cosine loses all digits where it is 0
    labels = one_hot_kernel(net.batch.y, net.batch.num_classes)
    return {
        "kernel_distance": float((now - start).norm() / start.norm()),
        "kernel_turn": float(turned.square().sum() / 2),
        "kernel_alignment": centred_alignment(_mean_over_classes(now, len(labels)), labels),
    }


def tangent_kernel(
    net: ProbeNet,
    theta: Theta,
    *,
    full: bool,
    at_once: int,
    check: Callable[[], None] = lambda: None,
) -> Tensor:
    """K = J Jᵀ, float64: of the sum of the logits over √C [n, n], or of all logits [nC, nC].

    full: the row of example i and class c is iC + c. at_once: rows of a Jacobian in a block; two
    blocks are held. check: called before each block. Source of the sum of logits: Mohamadi, Bae
    and Sutherland, arXiv 2206.12543.
    """
    x, classes = net.batch.x, net.batch.num_classes
    parameters = net.parameters_of(theta)
    if full:
        examples = torch.arange(len(x), device=x.device).repeat_interleave(classes)
        weights = torch.eye(classes, device=x.device).repeat(len(x), 1)
    else:
        examples = torch.arange(len(x), device=x.device)
        weights = x.new_full((len(x), classes), 1 / sqrt(classes))

    def output(parameters: dict[str, Tensor], example: Tensor, weight: Tensor) -> Tensor:
        return (net.run({**theta, **parameters}, example[None])[0] * weight).sum()

    gradients = vmap(grad(output), in_dims=(None, 0, 0))

    def compute(rows: slice) -> list[Tensor]:
        check()
        found: dict[str, Tensor] = gradients(parameters, x[examples[rows]], weights[rows])
        return [one.flatten(1) for one in found.values()]

    count = len(examples)
    kernel = torch.zeros(count, count, dtype=torch.float64, device=x.device)
    blocks = [slice(start, min(start + at_once, count)) for start in range(0, count, at_once)]
    for place, rows in enumerate(blocks):
        first = compute(rows)
        for columns in blocks[place:]:
            second = first if columns is rows else compute(columns)
            for one, other in zip(first, second, strict=True):
                kernel[rows, columns] += (one @ other.T).double()
    return kernel.triu() + kernel.triu(1).T


def _mean_over_classes(kernel: Tensor, num_examples: int) -> Tensor:
    """[n, n]: of a full kernel the mean over classes c of its entries (ic, jc)."""
    classes = len(kernel) // num_examples
    blocks = kernel.view(num_examples, classes, num_examples, classes)
    return blocks.diagonal(dim1=1, dim2=3).mean(dim=-1)
