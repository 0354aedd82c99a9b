"""Which seeds train together, and the learner that trains them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from engine.context import RunContext
from engine.data.resident import ResidentData
from engine.models.build import build_model, initialise
from engine.models.layout import num_parameters
from engine.models.net import LayeredNet
from engine.models.spec import ReluNetSpec
from engine.spec import Execution, ExperimentSpec
from engine.training.learner import Learner
from engine.training.module_learner import ModuleLearner
from engine.training.policies import EpochSchedule
from engine.training.recorder import build_recorder
from engine.training.stacked_learner import StackedLearner

STACK_BYTES = 2 * 1024**3
"""Memory that one group of stacked seeds may take."""


def can_stack(spec: ExperimentSpec, execution: Execution, has_schedule: bool) -> bool:
    """Whether the hand-written stacked learner computes what the spec asks for."""
    return (
        execution.stack_seeds
        and isinstance(spec.model, ReluNetSpec)
        and spec.data.augmentation == "none"
        and execution.precision != "bf16"
        and not has_schedule
    )


def plan_groups(
    spec: ExperimentSpec,
    data: ResidentData,
    seeds: Sequence[int],
    execution: Execution,
    has_schedule: bool,
) -> list[list[int]]:
    """The seeds in groups that train one after the other: as many stacked as memory allows, else one each."""
    size = 1
    if can_stack(spec, execution, has_schedule):
        assert isinstance(spec.model, ReluNetSpec)
        vectors = 4 * num_parameters(spec.model, data.info)  # parameters, gradient, two moments
        activations = (
            2 * spec.batch_size * (spec.model.width * spec.model.depth + data.x_train[0].numel())
        )
        size = max(1, STACK_BYTES // (4 * (vectors + activations)))
    return [list(seeds[start : start + size]) for start in range(0, len(seeds), size)]


def build_learner(
    spec: ExperimentSpec,
    data: ResidentData,
    seeds: Sequence[int],
    ctx: RunContext,
    schedule: EpochSchedule | None,
) -> Learner:
    """The learner of a group, its nets initialised."""
    nets = [_initial_net(spec, data, seed, ctx) for seed in seeds]
    recorder = build_recorder(data.x_train.device, ctx.execution)
    if can_stack(spec, ctx.execution, schedule is not None):
        return cast(Learner, StackedLearner(spec, data, seeds, nets, recorder))
    assert len(seeds) == 1
    return ModuleLearner(spec, data, seeds[0], nets[0], ctx.execution, recorder, schedule)


def _initial_net(
    spec: ExperimentSpec, data: ResidentData, seed: int, ctx: RunContext
) -> LayeredNet:
    net = build_model(spec.model, data.info)
    initialise(
        net,
        spec.init,
        seed,
        read_checkpoint=ctx.read_checkpoint,
        weights_dir=ctx.data_dir / "pretrained",
        allow_download=ctx.allow_download,
    )
    return net
