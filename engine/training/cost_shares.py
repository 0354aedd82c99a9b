"""The expected cost of a policy as a share of vanilla SGD's FLOPs (paper, Section 6).

A layer's forward pass costs its FLOPs; its weight gradient costs as many if it trains, its input
gradient as many if a layer below it trains. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

from engine.models.layout import LayerLayout
from engine.training.policies import (
    PolicySpec,
    ProbTopKBottomQPolicy,
    RandomBetaPolicy,
    RandomUniformPolicy,
    TopKAllBottomsPolicy,
    draw_schedule,
)

Layers = frozenset[int]
_MIDDLES = tuple((step + 0.5) / 16 for step in range(16))
"""Midpoints of the intervals that [0, 1] is divided into, for integrals."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of vanilla SGD over as many epochs, in [0, 1]."""

    backward: float
    train: float
    """Forward and backward."""


def expect_shares(
    policy: PolicySpec, layers: Sequence[LayerLayout], epochs: int, *, keeps_prefix: bool
) -> Shares:
    """The shares, in expectation over the policy's draws.

    keeps_prefix: whether the forward pass starts from cached activations at the lowest layer that
    trains in this epoch or the one before (`prefix_plan`); the first epoch starts at the images.
    """
    flops = tuple(layer.forward_flops for layer in layers)
    forward_all = float(sum(flops))
    backward_all = 2 * forward_all - flops[0]
    backward, later = _expect_flops(policy, flops)
    keeps_prefix = keeps_prefix and epochs > 0
    forward = (forward_all + (epochs - 1) * later) / epochs if keeps_prefix else forward_all
    return Shares(backward / backward_all, (forward + backward) / (forward_all + backward_all))


@lru_cache(maxsize=4096)
def _expect_flops(policy: PolicySpec, flops: tuple[int, ...]) -> tuple[float, float]:
    """Expected FLOPs of the backward pass, and of the forward pass from the cached activations."""
    chances = list_chances(policy, len(flops))
    from_layer = [*accumulate(reversed(flops), initial=0)][::-1]
    lowest = [0.0] * (len(flops) + 1)
    backward = 0.0
    for chance, trained in chances:
        bottom = min(trained)
        lowest[bottom] += chance
        weights = sum([flops[layer] for layer in trained])
        backward += chance * (weights + from_layer[bottom + 1])
    at_or_above = [*accumulate(reversed(lowest))][::-1]
    # The forward pass starts at the lower of two epochs' lowest layers, which are independent.
    later = 0.0
    for (above, next_above), start in zip(pairwise(at_or_above), from_layer[:-1], strict=True):
        later += (above**2 - next_above**2) * start
    return backward, later


@lru_cache(maxsize=4096)
def list_chances(policy: PolicySpec, num_layers: int) -> tuple[tuple[float, Layers], ...]:
    """(probability, layers) of every set of layers that the policy may train in an epoch."""

    def top(k: int) -> Layers:
        return frozenset(range(num_layers - k, num_layers))

    match policy:
        case ProbTopKBottomQPolicy(k=k, q=q, rho=rho):
            return ((rho, top(k) | frozenset(range(q))), (1 - rho, top(k)))
        case TopKAllBottomsPolicy(k=k, rho=rho):
            return ((rho, top(num_layers)), (1 - rho, top(k)))
        case RandomUniformPolicy():
            return tuple((1 / num_layers, top(k)) for k in range(1, num_layers + 1))
        case RandomBetaPolicy(alpha=alpha, beta=beta):
            masses = _integrate_beta(alpha, beta, num_layers)
            total = sum(masses)
            return tuple((mass / total, top(k)) for k, mass in enumerate(masses, 1) if mass)
    return ((1.0, draw_schedule(policy, num_layers, 1, seed=0).trained[0]),)


def _integrate_beta(alpha: float, beta: float, num_layers: int) -> list[float]:
    """The unnormalised probability of each k = round(1 + (d - 1) b), b by the beta distribution."""
    if num_layers == 1:
        return [1.0]
    half = 0.5 / (num_layers - 1)
    masses = [_integrate_from_zero(half, alpha, beta)]
    for k in range(2, num_layers):
        low = (2 * k - 3) * half
        points = [low + 2 * half * middle for middle in _MIDDLES]
        densities = [b ** (alpha - 1) * (1 - b) ** (beta - 1) for b in points]
        masses.append(2 * half * sum(densities) / len(points))
    return [*masses, _integrate_from_zero(half, beta, alpha)]


def _integrate_from_zero(high: float, alpha: float, beta: float) -> float:
    """From 0 to `high`. In b^alpha the density is finite, also where alpha is below 1."""
    rest = [(1 - high * middle ** (1 / alpha)) ** (beta - 1) for middle in _MIDDLES]
    return float(high**alpha / alpha * sum(rest) / len(rest))
