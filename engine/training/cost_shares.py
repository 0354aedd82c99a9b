"""The expected cost of a policy as a share of vanilla SGD's FLOPs (paper, Section 6).

A layer's forward pass costs its FLOPs; its weight gradient costs as many if it trains, its input
gradient as many if a layer below it trains. Imports no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from math import gcd

from engine.models.layout import LayerLayout
from engine.span import count_steps
from engine.training.layer_schedule import LayerSchedule, StepSchedule, draw_schedule
from engine.training.policies import (
    EACH_EPOCH,
    FreezeBottomUpPolicy,
    FreezeOutPolicy,
    GradualUnfreezePolicy,
    GroupPolicy,
    LisaPolicy,
    PolicySpec,
    ProbTopKBottomQPolicy,
    RandomBetaPolicy,
    RandomUniformPolicy,
    SchedulePolicy,
    TopKAllBottomsPolicy,
    list_group,
)

MAX_CYCLE = 1_000
"""The most pairs of epochs over which the number of draws in a pair is averaged."""
Layers = frozenset[int]


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of vanilla SGD over as many epochs, in [0, 1]."""

    backward: float
    train: float
    """Forward and backward."""


def expect_shares(
    policy: PolicySpec,
    layers: Sequence[LayerLayout],
    epochs: int,
    *,
    keeps_prefix: bool,
    steps_per_epoch: int = 1,
) -> Shares:
    """The shares, in expectation over the policy's draws.

    keeps_prefix: whether the forward pass starts from cached activations at the lowest layer that
    trains in this epoch or the one before (`prefix_plan`); the first epoch starts at the images.
    """
    flops = tuple(layer.forward_flops for layer in layers)
    forward_all = float(sum(flops))
    backward_all = 2 * forward_all - flops[0]
    if isinstance(policy, GroupPolicy):
        backward, later = _group_flops(policy, layers, flops)
    elif isinstance(policy, _Followed) and epochs:
        backward, later = _followed_flops(policy, flops, epochs, steps_per_epoch)
    else:
        backward, later = _expect_flops(policy, flops, steps_per_epoch)
    keeps_prefix = keeps_prefix and epochs > 0
    forward = (forward_all + (epochs - 1) * later) / epochs if keeps_prefix else forward_all
    return Shares(backward / backward_all, (forward + backward) / (forward_all + backward_all))


_Followed = SchedulePolicy | FreezeOutPolicy | FreezeBottomUpPolicy | GradualUnfreezePolicy
"""Policies that draw nothing and train other layers as the training goes on"""


@lru_cache(maxsize=4096)
def _followed_flops(
    policy: PolicySpec, flops: tuple[int, ...], epochs: int, steps_per_epoch: int
) -> tuple[float, float]:
    """Of the backward pass, and of the forward pass from the cached activations, as means."""
    schedule = draw_schedule(policy, len(flops), epochs, 0, steps_per_epoch)
    from_layer = [*accumulate(reversed(flops), initial=0)][::-1]
    backward = 0.0
    for share, trained in _list_periods(schedule):
        weights = sum([flops[layer] for layer in trained])
        backward += share * (weights + from_layer[min(trained) + 1])
    lowest = [schedule.lowest(epoch) for epoch in range(epochs)]
    starts = [from_layer[min(pair)] for pair in pairwise(lowest)]
    return backward, sum(starts) / len(starts) if starts else 0.0


def _list_periods(schedule: LayerSchedule) -> list[tuple[float, Layers]]:
    """(share of the training, the layers that train in it)."""
    if not isinstance(schedule, StepSchedule):
        return [(1 / schedule.num_epochs, layers) for layers in schedule.trained]
    total = schedule.num_epochs * schedule.steps_per_epoch
    bounds = pairwise((*schedule.starts, total))
    return [
        ((stop - start) / total, layers)
        for (start, stop), layers in zip(bounds, schedule.trained, strict=True)
    ]


def _group_flops(
    policy: GroupPolicy, layers: Sequence[LayerLayout], flops: tuple[int, ...]
) -> tuple[float, float]:
    """The gradients of biases and scales take almost no arithmetic beside those at the inputs."""
    groups = list_group(policy, layers)
    lowest = next(index for index, names in enumerate(groups) if names)
    weights = flops[-1] if policy.head else 0
    return weights + sum(flops[lowest + 1 :]), sum(flops[lowest:])


@lru_cache(maxsize=4096)
def _expect_flops(
    policy: PolicySpec, flops: tuple[int, ...], steps_per_epoch: int
) -> tuple[float, float]:
    """Expected FLOPs of the backward pass, and of the forward pass from the cached activations."""
    if isinstance(policy, LisaPolicy):
        drawn = policy.m / (len(flops) - 2) * sum(flops[1:-1])
        return flops[0] + drawn + flops[-1] + sum(flops[1:]), float(sum(flops))
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

    def forward_of(num_draws: int) -> float:
        """From the lowest layer of several draws, which are independent."""
        expected = 0.0
        for (above, next_above), start in zip(pairwise(at_or_above), from_layer[:-1], strict=True):
            expected += (above**num_draws - next_above**num_draws) * start
        return expected

    # The forward pass starts at the lowest layer of an epoch and the one before.
    steps = count_steps(getattr(policy, "draw_every", EACH_EPOCH), steps_per_epoch)
    cycle = min(steps // gcd(steps, steps_per_epoch), MAX_CYCLE)
    counts = Counter(
        ((epoch + 2) * steps_per_epoch - 1) // steps - epoch * steps_per_epoch // steps + 1
        for epoch in range(cycle)
    )
    return backward, sum(times * forward_of(count) for count, times in counts.items()) / cycle


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
