"""Schedules: the layers that train in each epoch or step of one seed. Imports no torch.

A schedule is drawn in full from a policy (`engine.training.policies`) before training starts.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from engine.models.layout import LayerLayout
from engine.seeds import derive_seed
from engine.span import Span, StepSpan
from engine.training.policies import (
    BottomQPolicy,
    FreezeBottomUpPolicy,
    FreezeOutPolicy,
    FullPolicy,
    GradualUnfreezePolicy,
    GroupPolicy,
    LisaPolicy,
    MiddlePolicy,
    PolicySpec,
    ProbTopKBottomQPolicy,
    RandomBetaPolicy,
    RandomUniformPolicy,
    SchedulePolicy,
    TopKAllBottomsPolicy,
    TopKBottomQPolicy,
    TopKPolicy,
    check_policy,
    list_group,
)

Layers = frozenset[int]


@dataclass(frozen=True, slots=True)
class EpochSchedule:
    """The layers that train in each epoch; epochs count from 0."""

    num_layers: int
    trained: tuple[Layers, ...]
    """One set of layer indices per epoch, none empty."""
    parameters: frozenset[str] | None = None
    """The only parameters that train in these layers, by name; None for all."""
    frozen_in_eval: bool = False
    """Whether layers run as in evaluation while they are frozen."""

    def __post_init__(self) -> None:
        assert all(
            layers and min(layers) >= 0 and max(layers) < self.num_layers for layers in self.trained
        ), "every epoch trains at least one layer of the net"

    @property
    def num_epochs(self) -> int:
        return len(self.trained)

    def at(self, epoch: int, step: int) -> Layers:
        """The layers that train in a step of the epoch."""
        return self.trained[epoch]

    def lowest(self, epoch: int) -> int:
        """The lowest layer that trains in this epoch.

        Backward stops there, and all layers below it are constant.
        """
        return min(self.trained[epoch])

    @property
    def is_full(self) -> bool:
        """Whether every layer trains in every epoch: vanilla SGD."""
        return self.parameters is None and all(
            len(layers) == self.num_layers for layers in self.trained
        )

    def count_epochs_by_lowest_layer(self) -> tuple[int, ...]:
        """For each layer, bottom first: in how many epochs it is the lowest one trained."""
        counts = Counter(map(min, self.trained))
        return tuple(counts[layer] for layer in range(self.num_layers))

    def to_json(self) -> dict[str, Any]:
        """The schedule as JSON: `{"num_layers": 3, "trained_layers": [[2], [0, 1, 2], ...]}`."""
        found: dict[str, Any] = {
            "num_layers": self.num_layers,
            "trained_layers": [sorted(layers) for layers in self.trained],
        }
        if self.parameters is not None:
            found["parameters"] = sorted(self.parameters)
        return found


@dataclass(frozen=True, slots=True)
class StepSchedule:
    """The layers that train in each of several periods; epochs and steps count from 0."""

    num_layers: int
    num_epochs: int
    steps_per_epoch: int
    starts: tuple[int, ...]
    """The first step of each period, ascending from 0."""
    trained: tuple[Layers, ...]
    """One set of layer indices per period, none empty."""
    ends: tuple[int, ...] = ()
    """For each layer the step at which its learning rate has fallen to 0; empty where all layers
    have the rate of the training."""
    scales: tuple[float, ...] = ()
    """For each layer the factor on its learning rate; as long as `ends`."""
    frozen_in_eval: bool = False
    """Whether layers run as in evaluation while they are frozen."""

    @property
    def parameters(self) -> None:
        """All parameters of the trained layers train."""
        return

    def at(self, epoch: int, step: int) -> Layers:
        """The layers that train in a step of the epoch."""
        return self.trained[self._period(epoch * self.steps_per_epoch + step)]

    def lowest(self, epoch: int) -> int:
        """The lowest layer that trains in any step of this epoch.

        All layers below it are constant in the epoch.
        """
        first = self._period(epoch * self.steps_per_epoch)
        last = self._period((epoch + 1) * self.steps_per_epoch - 1)
        return min(min(layers) for layers in self.trained[first : last + 1])

    @property
    def is_full(self) -> bool:
        """Whether every layer trains in every step at the rate of the training: vanilla SGD."""
        total = self.num_epochs * self.steps_per_epoch
        return all(len(layers) == self.num_layers for layers in self.trained) and all(
            end == total for end in self.ends
        )

    def count_epochs_by_lowest_layer(self) -> tuple[int, ...]:
        """For each layer, bottom first: in how many epochs it is the lowest one trained."""
        counts = Counter(map(self.lowest, range(self.num_epochs)))
        return tuple(counts[layer] for layer in range(self.num_layers))

    def to_json(self) -> dict[str, Any]:
        """The schedule as JSON: the layers of each period, and the step at which it starts."""
        found: dict[str, Any] = {
            "num_layers": self.num_layers,
            "steps_per_epoch": self.steps_per_epoch,
            "starts": list(self.starts),
            "trained_layers": [sorted(layers) for layers in self.trained],
        }
        if self.ends:
            found |= {"ends": list(self.ends), "scales": list(self.scales)}
        return found

    def _period(self, step: int) -> int:
        return bisect_right(self.starts, step) - 1


LayerSchedule = EpochSchedule | StepSchedule


def draw_schedule(
    policy: PolicySpec,
    num_layers: int,
    epochs: int,
    seed: int,
    steps_per_epoch: int = 1,
    layers: Sequence[LayerLayout] = (),
) -> LayerSchedule:
    """The schedule of `policy` for one seed: a pure function of its arguments.

    The draws of a seed do not depend on rho, k or q: an epoch that trains the bottom layers at rho
    = 0.1 also does so at every larger rho. layers: of the net; only policies of parameters need
    them. Raises AssertionError for k or q beyond the net; `check_policy` reports these to the user.
    """
    assert not check_policy(policy, num_layers), "a spec is checked before it is run"
    net = _Net(num_layers, epochs, steps_per_epoch)
    generator = random.Random(derive_seed(seed, "policy"))  # noqa: S311 - seeded, not secret  # nosec B311
    match policy:
        case SchedulePolicy():
            return _follow_table(policy, net)
        case FreezeOutPolicy():
            return _freeze_out(policy, net)
        case FreezeBottomUpPolicy(every=None):
            frozen = [_count_frozen(epoch, net) for epoch in range(epochs)]
            return EpochSchedule(num_layers, tuple(net.top(num_layers - one) for one in frozen))
        case FreezeBottomUpPolicy(every=every) if every is not None:
            return net.by_period(
                every, lambda period: net.top(max(1, num_layers - period)), last=num_layers - 1
            )
        case GradualUnfreezePolicy(every=every):
            return net.by_period(
                every, lambda period: net.top(min(num_layers, 1 + period)), last=num_layers - 1
            )
        case _ if isinstance(policy, GroupPolicy):
            groups = list_group(policy, layers)
            trained = frozenset(index for index, names in enumerate(groups) if names)
            return EpochSchedule(num_layers, (trained,) * epochs, frozenset().union(*groups))
        case _:
            draw = _drawer(policy, net, generator)
            every = getattr(policy, "draw_every", None)
            if every is None:
                return EpochSchedule(num_layers, tuple(draw() for _ in range(epochs)))
            return net.by_period(every, lambda _: draw())


@dataclass(frozen=True, slots=True)
class _Net:
    """The sizes on which a schedule depends."""

    num_layers: int
    epochs: int
    steps_per_epoch: int

    def top(self, k: int) -> Layers:
        return frozenset(range(self.num_layers - k, self.num_layers))

    def bottom(self, q: int) -> Layers:
        return frozenset(range(q))

    def by_period(
        self, every: Span, choose: Callable[[int], Layers], last: int | None = None
    ) -> LayerSchedule:
        """The layers that `choose` gives for each period, called once for each, from 0.

        last: the period that does not end; None where all do.
        """
        if isinstance(every, StepSpan):
            starts = range(0, self.epochs * self.steps_per_epoch, every.steps)
            starts = starts if last is None else starts[: last + 1]
            trained = tuple(choose(period) for period in range(len(starts)))
            return StepSchedule(
                self.num_layers, self.epochs, self.steps_per_epoch, tuple(starts), trained
            )
        chosen = [choose(period) for period in range(ceil(self.epochs / every.epochs))]
        trained = tuple(chosen[epoch // every.epochs] for epoch in range(self.epochs))
        return EpochSchedule(self.num_layers, trained)


def _count_frozen(epoch: int, net: _Net) -> int:
    """Layers that have frozen before this epoch where they freeze evenly; the top never does."""
    return min(net.num_layers - 1, epoch * net.num_layers // net.epochs)


def _follow_table(policy: SchedulePolicy, net: _Net) -> EpochSchedule:
    firsts = [row.epoch - 1 for row in policy.table]
    sets = [
        net.top(net.num_layers) if row.layers == "all" else frozenset(row.layers)
        for row in policy.table
    ]
    trained = tuple(sets[bisect_right(firsts, epoch) - 1] for epoch in range(net.epochs))
    return EpochSchedule(net.num_layers, trained)


def _freeze_out(policy: FreezeOutPolicy, net: _Net) -> StepSchedule:
    """A layer trains in the steps before its end; each end starts a period."""
    total = net.epochs * net.steps_per_epoch
    power = 3 if policy.spacing == "cubic" else 1
    gaps = max(1, net.num_layers - 1)
    shares = [(1 - (1 - policy.t0) * (gaps - i) / gaps) ** power for i in range(net.num_layers)]
    shares[-1] = 1.0
    ends = tuple(min(total, max(1, round(share * total))) for share in shares)
    starts = tuple(sorted({0, *ends} - {total})) if total else ()
    return StepSchedule(
        net.num_layers,
        net.epochs,
        net.steps_per_epoch,
        starts,
        tuple(frozenset(i for i, end in enumerate(ends) if start < end) for start in starts),
        ends,
        tuple(1 / share if policy.scaled else 1.0 for share in shares),
    )


def _drawer(policy: PolicySpec, net: _Net, generator: random.Random) -> Callable[[], Layers]:
    num_layers, top, bottom = net.num_layers, net.top, net.bottom
    every = bottom(num_layers)
    match policy:
        case FullPolicy():
            return lambda: every
        case TopKPolicy(k=k):
            return lambda: top(k)
        case BottomQPolicy(q=q):
            return lambda: bottom(q)
        case TopKBottomQPolicy(k=k, q=q):
            return lambda: top(k) | bottom(q)
        case MiddlePolicy():
            return lambda: frozenset(range(1, num_layers - 1))
        case ProbTopKBottomQPolicy(k=k, q=q, rho=rho):
            return lambda: top(k) | bottom(q) if generator.random() < rho else top(k)
        case TopKAllBottomsPolicy(k=k, rho=rho):
            return lambda: every if generator.random() < rho else top(k)
        case RandomUniformPolicy():
            return lambda: top(1 + int(generator.random() * num_layers))
        case RandomBetaPolicy(alpha=alpha, beta=beta):
            return lambda: top(round(1 + (num_layers - 1) * generator.betavariate(alpha, beta)))
        case LisaPolicy(m=m):
            middle = range(1, num_layers - 1)
            return lambda: frozenset({0, num_layers - 1, *generator.sample(middle, m)})
    raise AssertionError(f"{policy.name} draws nothing")
