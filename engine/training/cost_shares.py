"""The expected cost of a policy as a share of vanilla SGD's FLOPs (paper, Section 6).

A layer's forward pass costs its FLOPs; its weight gradient costs as many if it trains, its input
gradient as many if a layer below it trains. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

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
_BETA_STEPS = 20_000


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
    flops = [layer.forward_flops for layer in layers]
    chances = list_chances(policy, len(layers))
    forward_all = float(sum(flops))
    backward_all = 2 * forward_all - flops[0]
    backward = sum(chance * _count_backward(trained, flops) for chance, trained in chances)
    forward = forward_all
    if keeps_prefix:
        later = sum(
            chance * before * sum(flops[min(*trained, *trained_before) :])
            for chance, trained in chances
            for before, trained_before in chances
        )
        forward = (forward_all + (epochs - 1) * later) / epochs
    return Shares(backward / backward_all, (forward + backward) / (forward_all + backward_all))


def _count_backward(trained: Layers, flops: Sequence[int]) -> int:
    weights = sum(flops[layer] for layer in trained)
    return weights + sum(flops[min(trained) + 1 :])


@cache
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
            masses = [0.0] * (num_layers + 1)
            for b, mass in _integrate_beta(alpha, beta):
                masses[round(1 + (num_layers - 1) * b)] += mass
            return tuple((mass / sum(masses), top(k)) for k, mass in enumerate(masses) if mass)
    return ((1.0, draw_schedule(policy, num_layers, 1, seed=0).trained[0]),)


def _integrate_beta(alpha: float, beta: float) -> Iterator[tuple[float, float]]:
    """(b, unnormalised density at b) of the beta distribution on a fine grid."""
    for step in range(_BETA_STEPS):
        b = (step + 0.5) / _BETA_STEPS
        yield b, b ** (alpha - 1) * (1 - b) ** (beta - 1)
