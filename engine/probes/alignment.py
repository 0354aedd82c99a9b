"""Centred alignment of two matrices of similarities: of kernels with labels, and CKA."""

from __future__ import annotations

import torch
from torch import Tensor


def centred_alignment(one: Tensor, other: Tensor) -> float:
    """⟨HAH, HBH⟩ / (‖HAH‖ ‖HBH‖) of A and B, H = I − 11ᵀ/n; NaN where one of them is constant.

    one, other: float64 [n, n], symmetric. Source: Cortes, Mohri and Rostamizadeh, JMLR 13 (2012);
    of two linear kernels it is linear CKA (Kornblith et al., arXiv 1905.00414).
    """
    first, second = _centre(one), _centre(other)
    return float((first * second).sum() / (first.norm() * second.norm()))


def linear_kernel(features: Tensor) -> Tensor:
    """Products of the rows [n, n], float64; features: [n, ...]."""
    rows = features.flatten(1).double()
    return rows @ rows.T


def _centre(kernel: Tensor) -> Tensor:
    rows = kernel - kernel.mean(dim=0, keepdim=True)
    return rows - rows.mean(dim=1, keepdim=True)


def one_hot_kernel(labels: Tensor, num_classes: int) -> Tensor:
    """YYᵀ of the one-hot labels, float64 [n, n]: 1 for two examples of one class, else 0."""
    return linear_kernel(torch.nn.functional.one_hot(labels, num_classes))
