"""Train the children of every split, and evaluate the lines between them; each part resumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from engine.analysis.line import Line
from engine.arithmetic import describe_arithmetic, list_differences
from engine.context import RunContext
from engine.data.resident import ResidentData
from engine.experiments.connectivity.spec import ConnectivitySpec
from engine.models.output_scale import scale_output
from engine.nets import build_net
from engine.seeds import derive_seed
from engine.training.learner import Learner
from engine.training.outcome import TrainedSeed
from engine.training.plan import build_learner, plan_groups
from engine.training.saves import Afterwards, Saves
from engine.training.splits import Group, Splits, continue_training

Counts = list[list[int]]
"""Of a line: the numbers of images right, test and train, at each place; of a layer's, test."""
Place = tuple[str | None, float]
"""The layer that moves, or None for all, and the share of the other child"""


@dataclass(frozen=True, slots=True)
class Child:
    """A child of a group of seeds, which trains from a step to the end."""

    group: Group
    step: int
    number: int
    """From 2: child 1 is the training itself."""


@dataclass(frozen=True, slots=True)
class SeedLine:
    """The line from child 1 to another child of one seed."""

    step: int
    child: int
    test_error: tuple[float, ...]
    train_error: tuple[float, ...]
    layers: Mapping[str, tuple[float, ...]]
    """Test error where one layer moves alone, bottom first"""


def order_of(spec: ConnectivitySpec, seed: int, number: int) -> int:
    """What draws the order of the examples of a child: for child 1 that of the training."""
    (own,) = spec.order_seeds([seed])
    return own if number == 1 else derive_seed(own, "child", number)


def start_child(
    spec: ConnectivitySpec,
    data: ResidentData,
    ctx: RunContext,
    child: Child,
    splits: Splits,
) -> Learner:
    """A learner with the weights and the optimiser of the split, and the child's own orders."""
    orders = [order_of(spec, seed, child.number) for seed in child.group]
    learner = build_learner(spec, data, child.group, ctx, None, orders=orders)
    if child.step:
        state = splits.find(child.group, child.step)
        assert state is not None, "a training that ended early has no later splits"
        learner.restore(state)
    return learner


class Children:
    """The children of a run's trainings, one after the other; of a group at once."""

    def __init__(
        self,
        spec: ConnectivitySpec,
        ctx: RunContext,
        data: ResidentData,
        splits: Splits,
        trainings: Sequence[TrainedSeed],
        saves: Saves,
    ) -> None:
        self._spec, self._ctx, self._data, self._splits = spec, ctx, data, splits
        self._trained = {one.seed: one for one in trainings}
        self._saves = Afterwards(ctx, saves, splits)
        self._children = [
            Child(group, step, number)
            for group in self._list_groups()
            for step in spec.split_steps(data.info)
            for number in range(2, spec.children + 1)
        ]
        self._epochs_of_line = spec.epochs_of_line(data.info)
        epochs = [
            len(one.group) * (self._epochs_of(one) + self._epochs_of_line) for one in self._children
        ]
        self._done = list(accumulate(epochs, initial=len(trainings) * spec.epochs))
        """Epochs of the run when so many children are finished"""
        state = self._saves.state
        self._lines: list[dict[str, Counts | None]] = list(state.get("lines", []))
        """By seed, of each finished child; None where one of the two is not finite"""
        self._arithmetic = describe_arithmetic(ctx.execution.device)
        self._differences = [
            *state.get("differences", ()),
            *list_differences(state.get("arithmetic", self._arithmetic), self._arithmetic),
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        """Where parts of the run may have other bits than an uninterrupted one."""
        if not self._differences:
            return ()
        return (
            "the children were resumed where they may round differently, so their bits may differ "
            f"from those of an uninterrupted run ({'; '.join(self._differences)})",
        )

    def compute(self) -> dict[int, list[SeedLine | None]]:
        """The lines of each seed, by split and child; None where a child is not finite."""
        resumed = len(self._lines)
        for place, child in enumerate(self._children[resumed:], start=resumed):
            state, tensors = (
                ({}, {}) if place > resumed else (self._saves.state, self._saves.tensors)
            )
            self._lines.append(self._compute(child, state, tensors))
            self._save({}, {})
        found: dict[int, list[SeedLine | None]] = {seed: [] for seed in self._trained}
        for child, lines in zip(self._children, self._lines, strict=True):
            for seed in child.group:
                found[seed].append(self._read(child, lines[str(seed)]))
        return found

    def _list_groups(self) -> list[Group]:
        """Those that trained together, as their states are of a group."""
        known = self._splits.groups
        rest = [seed for seed in self._ctx.seeds if not any(seed in group for group in known)]
        planned = plan_groups(self._spec, self._data.info, rest, self._ctx.execution)
        return [*known, *map(tuple, planned)]

    def _compute(
        self, child: Child, state: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> dict[str, Counts | None]:
        """Train the child, or finish it from a save, and evaluate its line for each seed."""
        if child.step and self._splits.find(child.group, child.step) is None:
            return {str(seed): None for seed in child.group}
        learner = start_child(self._spec, self._data, self._ctx, child, self._splits)
        if tensors:
            learner.restore(tensors)
        total = self._spec.num_steps(self._data.info)
        done = int(state.get("step", child.step))
        continue_training(learner, done, total, partial(self._before_step, child, learner))
        counts: dict[str, Counts | None] = dict(state.get("counts", {}))
        for index in range(len(child.group)):
            self._evaluate(child, learner, index, counts)
        return counts

    def _before_step(self, child: Child, learner: Learner, step: int) -> None:
        self._ctx.check()
        if self._ctx.should_save():
            self._save({"step": step, "counts": {}}, learner.capture())
        trained = (step - child.step) / learner.num_steps
        self._report(len(child.group) * trained)

    def _evaluate(
        self, child: Child, learner: Learner, index: int, counts: dict[str, Counts | None]
    ) -> None:
        """Add the counts of a seed's line, from the first net that has none."""
        seed = child.group[index]
        first, second = self._trained[seed].theta_T, learner.parameters(index)
        if not (_is_finite(first) and _is_finite(second)):
            counts[str(seed)] = None
            return
        found = counts.setdefault(str(seed), [])
        assert found is not None
        net = build_net(self._spec, self._data.info).to(self._data.x_test.device)
        net.load_state_dict(self._trained[seed].theta_0)
        scale_output(net, self._spec.output_scale)
        autocasts = self._spec.precision(self._ctx.execution) == "bf16"
        line = Line(net, first, second, self._data, autocasts)
        places = self._list_places(len(net.layers))
        total = self._spec.num_steps(self._data.info)
        for layer, share in places[len(found) :]:
            self._ctx.check()
            if self._ctx.should_save():
                self._save({"step": total, "counts": counts}, learner.capture())
            whole = layer is None
            found.append(list(line.count_both(share)) if whole else [line.count_test(share, layer)])
            evaluated = (index + len(found) / len(places)) * self._epochs_of_line
            self._report(len(child.group) * self._epochs_of(child) + evaluated)

    def _list_places(self, num_layers: int) -> list[Place]:
        """The nets of a line, then those of each layer's, bottom first."""
        last = self._spec.points - 1
        layers = [f"layers.{number}" for number in range(num_layers)] if self._spec.by_layer else []
        return [
            (layer, place / last) for layer in (None, *layers) for place in range(self._spec.points)
        ]

    def _epochs_of(self, child: Child) -> float:
        """The epochs that a child trains for, of one seed."""
        return self._spec.epochs - child.step / self._spec.steps_per_epoch(self._data.info)

    def _report(self, epochs: float) -> None:
        """epochs: of the present child, done so far, over all seeds of its group."""
        done = self._done[len(self._lines)] + epochs
        self._ctx.report_progress(done, self._done[-1], "seed-epochs")

    def _save(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """state, tensors: of the present child; empty between two children."""
        of_run = {
            "lines": self._lines,
            "arithmetic": dict(self._arithmetic),
            "differences": self._differences,
        }
        self._saves.save({**of_run, **state}, tensors)

    def _read(self, child: Child, counts: Counts | None) -> SeedLine | None:
        """The errors of a line from its counts."""
        if counts is None:
            return None
        points, data = self._spec.points, self._data
        num_test, num_train = len(data.y_test), len(data.y_train)
        by_layer = [counts[start : start + points] for start in range(points, len(counts), points)]
        return SeedLine(
            child.step,
            child.number,
            tuple(1 - test / num_test for test, _ in counts[:points]),
            tuple(1 - train / num_train for _, train in counts[:points]),
            {
                f"layers.{number}": tuple(1 - test / num_test for (test,) in found)
                for number, found in enumerate(by_layer)
            },
        )


def _is_finite(theta: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(one).all()) for one in theta.values())
