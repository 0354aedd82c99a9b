"""Group the seeds that train together, and build the learner of a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from engine.context import RunContext
from engine.cost import stack_size
from engine.data.resident import ResidentData
from engine.data.spec import DatasetInfo
from engine.models.build import initialise
from engine.models.net import LayeredNet
from engine.nets import build_net
from engine.spec import Execution, ExperimentSpec
from engine.training.layer_schedule import LayerSchedule
from engine.training.learner import Learner
from engine.training.masked import MaskedStart
from engine.training.module_learner import ModuleLearner
from engine.training.recorder import build_recorder
from engine.training.stacked_learner import StackedLearner


def plan_groups(
    spec: ExperimentSpec, info: DatasetInfo, seeds: Sequence[int], execution: Execution
) -> list[list[int]]:
    """Split the seeds into groups that train one after the other.

    A group holds as many stacked seeds as memory allows, else one seed.
    """
    size = stack_size(spec, info, execution)
    return [list(seeds[start : start + size]) for start in range(0, len(seeds), size)]


def build_learner(
    spec: ExperimentSpec,
    data: ResidentData,
    seeds: Sequence[int],
    ctx: RunContext,
    schedule: LayerSchedule | None,
    masked: Sequence[MaskedStart] | None = None,
    orders: Sequence[int] | None = None,
) -> Learner:
    """The learner of a group, with initialised nets.

    schedule: the layers that train, of a group of one seed; None trains all layers. masked: of each
    seed, the weights that it starts from instead, and their entries that may move. orders: what
    draws the order of the examples, their augmentation and dropout for each seed; None takes those
    of the spec.
    """
    if masked is None:
        nets = [_initial_net(spec, data, seed, ctx) for seed in seeds]
    else:
        nets = [build_net(spec, data.info) for _ in seeds]
        for net, start in zip(nets, masked, strict=True):
            net.load_state_dict(dict(start.theta))
    movable = None if masked is None else [start.movable for start in masked]
    recorder = build_recorder(data.x_train.device, ctx.execution)
    if spec.stacks_seeds(ctx.execution):
        assert schedule is None, f"{spec.kind!r} has a schedule, so its seeds cannot be stacked"
        stacked = StackedLearner(spec, data, seeds, nets, recorder, movable, orders)
        return cast(Learner, stacked)
    assert len(seeds) == 1
    notes = [
        *_explain_unstacked(spec, ctx.execution),
        *_explain_scaled_output(spec, ctx.execution, schedule),
    ]
    return ModuleLearner(
        spec,
        data,
        seeds[0],
        nets[0],
        ctx.execution,
        recorder,
        schedule,
        movable=None if movable is None else movable[0],
        notes=notes,
        order=None if orders is None else orders[0],
    )


def _explain_unstacked(spec: ExperimentSpec, execution: Execution) -> tuple[str, ...]:
    """A note where seeds would be stacked but for fields that the stacked learner has not."""
    fields = spec.unstacked_fields()
    if not fields or not spec.model_copy(update=fields).stacks_seeds(execution):
        return ()
    return (f"Seeds train one by one: the batched net does not compute {', '.join(fields)}.",)


def _explain_scaled_output(
    spec: ExperimentSpec, execution: Execution, schedule: LayerSchedule | None
) -> Iterator[str]:
    """A note for each part of the execution that a scaled output does not follow."""
    if spec.precision(execution) != execution.precision:
        yield (f"Computed in fp32: {execution.precision} would round the scaled output away.")
    if spec.output_scale is not None and schedule is not None and execution.prefix_cache:
        yield "The frozen-prefix cache was not used: the scaled output needs the images."


def _initial_net(
    spec: ExperimentSpec, data: ResidentData, seed: int, ctx: RunContext
) -> LayeredNet:
    net = build_net(spec, data.info)
    initialise(
        net,
        spec.init,
        seed if spec.init_seed is None else spec.init_seed,
        read_checkpoint=ctx.read_checkpoint,
        weights_dir=ctx.data_dir / "pretrained",
        allow_download=ctx.allow_download,
    )
    return net
