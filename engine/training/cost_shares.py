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
            shares = _beta_shares(alpha, beta, num_layers)
            return tuple((share, top(k)) for k, share in enumerate(shares, 1) if share)
    return ((1.0, draw_schedule(policy, num_layers, 1, seed=0).trained[0]),)


def _beta_shares(alpha: float, beta: float, num_layers: int) -> list[float]:
    """The probability of each k = round(1 + (d - 1) b), b by the beta distribution."""
    from scipy.special import betainc  # heavy: for this policy alone

    if num_layers == 1:
        return [1.0]
    edges = [(k - 0.5) / (num_layers - 1) for k in range(1, num_layers)]
    below = [0.0, *(float(betainc(alpha, beta, edge)) for edge in edges), 1.0]
    return [high - low for low, high in pairwise(below)]
