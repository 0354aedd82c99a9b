"""Estimate what a spec takes: parameters, FLOPs, memory, disk and seconds. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import ceil, prod
from typing import Any, Literal

from engine.data.spec import DatasetInfo, is_streamed
from engine.durations import format_seconds
from engine.errors import FieldError
from engine.experiments.registry import get_kind
from engine.models.net_totals import NetTotals, measure_net
from engine.optim.spec import OptimizerSpec, SgdSpec
from engine.probes.cost import NetSize, ProbeWork, measure_work
from engine.spec import Execution, ExperimentSpec, Work, sha256_of

STACK_BYTES = 2 << 30
"""Memory limit of the seeds that are stacked into one batched net."""
PROCESS_BYTES = 500 << 20
"""Memory of a process that has imported torch and trained nothing."""
RUN_SECONDS = 0.08
"""Of a run besides its work, in a process that has trained before: to set up, and to store what was
found. In the first run of a process setting up takes a second, or several for a large data set."""
_FLOAT = 4
NO_PROBES = ProbeWork()
SMALLEST_SHARE = 0.1
"""Of a run's seconds that are work, whatever its set-up took."""
_EXECUTION_SPEED = ("precision", "deterministic", "prefix_cache", "stack_seeds", "threads")
"""Fields of the execution that decide how fast a run computes on a given device."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The speed of a machine: measured from earlier runs (`calibrate`), or a model below."""

    seconds_per_flop: float
    seconds_per_step: float = 0.0
    """Overhead of an optimiser step of any size."""
    seconds_per_layer_step: float = 0.0
    """Overhead of each layer in a step."""
    seconds_per_activation: float = 0.0
    """Memory traffic of a float saved for backward, each time that it is written or read."""
    seconds_per_parameter_step: float = 0.0
    """Memory traffic of the optimiser."""
    seconds_per_sorted_value: float = 0.0
    """To sort a value on the device and to store it compressed, on one core."""

    def stretched(self, factor: float) -> Calibration:
        """Every rate times `factor`."""
        return Calibration(*(factor * getattr(self, field.name) for field in fields(self)))


CPU_MODEL = Calibration(
    seconds_per_flop=1e-11,
    seconds_per_step=1.5e-4,
    seconds_per_layer_step=1e-5,
    seconds_per_activation=3e-9,
    seconds_per_parameter_step=1e-8,
    seconds_per_sorted_value=3.5e-7,
)
"""A process of one thread on a core with AVX-512: 100 GFLOP/s in matrix products of the paper's
sizes; narrow nets are memory-bound."""
CUDA_MODEL = Calibration(
    seconds_per_flop=5e-14,
    seconds_per_step=2e-4,
    seconds_per_layer_step=1e-4,
    seconds_per_activation=7e-12,
    seconds_per_parameter_step=1.3e-11,
    seconds_per_sorted_value=2.5e-7,
)
"""A data-centre GPU in fp32: 20 TFLOP/s, 3 TB/s and the launch times of kernels; not measured."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The estimated cost of one point with some seeds."""

    parameters: int
    """p, of one net"""
    train_flops: int
    """of all seeds; a multiply-add counts 2, the backward pass twice the forward pass"""
    evaluation_flops: int
    memory_bytes: int
    """peak, of one process that trains it"""
    disk_bytes: int
    """checkpoints, resume state and artifacts of all seeds"""
    seconds: float
    basis: Literal["measured", "model"]
    probe_flops: int = 0
    probe_seconds: float = 0.0
    """of `seconds`, those of the spec's `probes`"""

    @property
    def flops(self) -> int:
        return self.train_flops + self.evaluation_flops + self.probe_flops


@dataclass(frozen=True, slots=True)
class CostLimits:
    """The limits of one point; None means no limit."""

    max_parameters: int | None = 500_000_000
    max_memory_bytes: int | None = 64 << 30
    max_flops: int | None = 10**18
    max_disk_bytes: int | None = 100 << 30
    max_seconds: float | None = None


def estimate(
    spec: ExperimentSpec,
    num_seeds: int,
    info: DatasetInfo,
    calibration: Calibration | None = None,
    *,
    device: Literal["cpu", "cuda"] = "cpu",
    execution: Execution | None = None,
    num_loaded: int = 0,
) -> Cost:
    """The cost of training `num_seeds` seeds of one point and of the kind's own work
    (`spec.work(info)`).

    seconds = RUN_SECONDS + FLOPs * seconds_per_flop + steps * (seconds_per_step + layers *
    seconds_per_layer_step) + the memory traffic of activations and optimiser + the values that the
    kind sorts and stores + the probes of each seed that trains; stacked seeds share their steps.
    With a `calibration` the basis is `measured`, otherwise it is the `model` of `device`.
    execution: None means its defaults. num_loaded: how many of the seeds load a training instead of
    computing it; only the kind's own work remains of them.
    """
    net = measure_net(spec.model, info)
    work = spec.work(info)
    own_trained, own_evaluated = _count_own_examples(spec, info, work)
    train_examples, test_examples = _count_examples(spec, info, work)
    num_trained = num_seeds - num_loaded
    all_trained = num_trained * train_examples + num_loaded * own_trained
    all_evaluated = num_trained * test_examples + num_loaded * own_evaluated
    origin_flops = net.forward_flops if _has_origin(spec) else 0
    train_flops = all_trained * (net.gradient_flops + origin_flops)
    evaluation_flops = all_evaluated * (net.forward_flops + origin_flops)
    stacked = stack_size(spec, info, execution or Execution())
    steps = ceil(num_trained / stacked) * (
        ceil(train_examples / spec.batch_size) + ceil(test_examples / spec.batch_size)
    ) + ceil(num_loaded / stacked) * (
        ceil(own_trained / spec.batch_size) + ceil(own_evaluated / spec.batch_size)
    )
    rates = calibration or (CUDA_MODEL if device == "cuda" else CPU_MODEL)
    overhead = rates.seconds_per_step + net.num_layers * rates.seconds_per_layer_step
    activations = (3 * all_trained + all_evaluated) * net.saved_floats
    updates = net.parameters * _count_updates(spec, info, work, num_trained, num_seeds)
    traffic = (
        activations * rates.seconds_per_activation + updates * rates.seconds_per_parameter_step
    )
    probes = _probe_work(spec, info)
    probe_seconds = num_trained * (
        probes.flops * rates.seconds_per_flop
        + probes.moved_floats * rates.seconds_per_activation
        + probes.passes * overhead
    )
    sorted_values = num_seeds * net.parameters * work.sorted_per_parameter
    return Cost(
        parameters=net.parameters,
        train_flops=train_flops,
        evaluation_flops=evaluation_flops,
        memory_bytes=_peak_bytes(spec, info, work, min(num_seeds, stacked)),
        disk_bytes=_disk_bytes(spec, work, net.parameters, num_seeds),
        seconds=RUN_SECONDS
        + (train_flops + evaluation_flops) * rates.seconds_per_flop
        + steps * overhead
        + traffic
        + sorted_values * rates.seconds_per_sorted_value
        + probe_seconds,
        basis="model" if calibration is None else "measured",
        probe_flops=num_trained * probes.flops,
        probe_seconds=probe_seconds,
    )


def _probe_work(spec: ExperimentSpec, info: DatasetInfo) -> ProbeWork:
    if spec.probes is None:
        return NO_PROBES
    net = measure_net(spec.model, info)
    size = NetSize(
        net.parameters,
        net.forward_flops,
        net.gradient_flops,
        net.saved_floats,
        max(saved for saved, _ in net.layer_sizes),
        info.num_classes,
    )
    return measure_work(spec.probes, spec.epochs, size)


def _count_examples(spec: ExperimentSpec, info: DatasetInfo, work: Work) -> tuple[int, int]:
    """(forward and backward passes, forward passes alone) of one seed, in examples."""
    train_size, test_size = subset_sizes(spec, info)
    own_trained, own_evaluated = _count_own_examples(spec, info, work)
    trained = round(spec.epochs * train_size * work.train_fraction) + own_trained
    evaluated = spec.num_evaluations() * test_size + own_evaluated
    return trained + work.full_gradients * train_size, evaluated


def _count_own_examples(spec: ExperimentSpec, info: DatasetInfo, work: Work) -> tuple[int, int]:
    """Those that a seed computes too if its training is loaded: of the kind's own work."""
    train_size, test_size = subset_sizes(spec, info)
    return (
        round(spec.epochs * train_size * work.own_trainings),
        work.test_evaluations * test_size,
    )


def _has_origin(spec: ExperimentSpec) -> bool:
    """Whether every forward pass also computes the output of the initial net."""
    return spec.output_scale is not None and spec.output_scale.centred


def _count_updates(
    spec: ExperimentSpec, info: DatasetInfo, work: Work, num_trained: int, num_seeds: int
) -> float:
    """Expected updates of a parameter, over all seeds."""
    train_size, _ = subset_sizes(spec, info)
    trainings = num_trained * work.train_fraction + num_seeds * work.own_trainings
    return trainings * spec.epochs * ceil(train_size / spec.batch_size)


def calibrate(
    seconds: float,
    cost: Cost,
    *,
    setup_seconds: float = 0.0,
    training_seconds: float = 0.0,
    device: Literal["cpu", "cuda"] = "cpu",
) -> Calibration:
    """The device's model, stretched so that it gives the measured `seconds` of a run of this
    `cost`, without its measured `setup_seconds`.

    Valid for runs of the same shape (`shape_of`). Overhead and arithmetic stay separate terms, so
    it also holds for other numbers of epochs, examples or stacked seeds. A set-up is no work: it
    does not grow with the number of epochs, and is long in the first run of a process alone.
    training_seconds: of all seeds, as their results tell them; all of them are work.
    """
    assert cost.basis == "model"
    model = CUDA_MODEL if device == "cuda" else CPU_MODEL
    worked = max(seconds - setup_seconds - RUN_SECONDS, training_seconds, SMALLEST_SHARE * seconds)
    return model.stretched(worked / (cost.seconds - RUN_SECONDS))


def shape_of(spec: Mapping[str, Any], execution: Mapping[str, Any]) -> str:
    """Digest of what decides a run's speed, from the JSON of its spec and execution.

    Runs of one shape calibrate each other. They may differ in epochs, seeds and sizes of the data,
    whose effect `estimate` computes. Raises InvalidSpec for an unknown kind.
    """
    return sha256_of(
        {
            "spec": get_kind(spec["kind"]).spec.describe_speed(spec),
            "execution": {name: execution.get(name) for name in _EXECUTION_SPEED},
        }
    )


def check(cost: Cost, limits: CostLimits, pointer: str = "#/spec") -> list[FieldError]:
    """An error for every limit exceeded, at the field that lowers it best, with value and limit."""
    bounds: tuple[tuple[str, str, float, float | None], ...] = (
        ("model", "parameters", cost.parameters, limits.max_parameters),
        ("model", "bytes of memory", cost.memory_bytes, limits.max_memory_bytes),
        ("epochs", "floating-point operations", cost.flops, limits.max_flops),
        ("model", "bytes on disk", cost.disk_bytes, limits.max_disk_bytes),
    )
    told = [
        (field, f"needs {value:,.0f} {what}; the limit is {limit:,.0f}")
        for field, what, value, limit in bounds
        if limit is not None and value > limit
    ]
    if limits.max_seconds is not None and cost.seconds > limits.max_seconds:
        estimate, limit = format_seconds(cost.seconds), format_seconds(limits.max_seconds)
        told.append(("epochs", f"is estimated to take {estimate}; the limit is {limit}"))
    return [FieldError(f"{pointer}/{field}", "limit-exceeded", text) for field, text in told]


def subset_sizes(spec: ExperimentSpec, info: DatasetInfo) -> tuple[int, int]:
    """(train, test) examples that the spec uses."""
    return spec.data.train_size or info.train_size, spec.data.test_size or info.test_size


def stack_size(spec: ExperimentSpec, info: DatasetInfo, execution: Execution) -> int:
    """How many seeds fit in one stacked group; 1 if seeds train one by one."""
    if not spec.stacks_seeds(execution):
        return 1
    return max(1, STACK_BYTES // seed_bytes(spec, info))


def seed_bytes(spec: ExperimentSpec, info: DatasetInfo) -> int:
    """Memory of one seed in training.

    Parameters, gradient, optimiser state, activations and their gradients, and a batch.
    """
    net = measure_net(spec.model, info)
    state = 2 + optimizer_slots(spec.optimizer)
    floats_per_example = 2 * net.saved_floats + prod(info.shape)
    return _FLOAT * (state * net.parameters + spec.batch_size * floats_per_example)


def optimizer_slots(spec: OptimizerSpec) -> int:
    """Floats of optimiser state per parameter."""
    if isinstance(spec, SgdSpec):
        return 1 if spec.momentum > 0 else 0
    return 2


def _peak_bytes(spec: ExperimentSpec, info: DatasetInfo, work: Work, stacked: int) -> int:
    """The process, the data and the stacked seeds.

    Each seed also holds theta_0, its state and that state's bytes when it is saved, and the kind's
    own vectors.
    """
    net = measure_net(spec.model, info)
    examples = sum(subset_sizes(spec, info))
    floats = 0 if is_streamed(examples, info.shape) else prod(info.shape) * _FLOAT
    # floats, the values that they are converted from, labels
    data = examples * (floats + info.bytes_per_example + 16)
    copies = net.parameters * (
        _FLOAT * (1 + _has_origin(spec) + 2 * (1 + optimizer_slots(spec.optimizer)))
        + work.bytes_per_parameter
    )
    workspace = (
        _workspace_bytes(net, spec.batch_size) + net.parameters * work.scratch_bytes_per_parameter
    )
    probes = _probe_work(spec, info)
    a_seed = seed_bytes(spec, info) + copies + probes.seed_bytes
    return PROCESS_BYTES + data + stacked * a_seed + workspace + probes.num_bytes


def _workspace_bytes(net: NetTotals, batch_size: int) -> int:
    """Scratch memory of kernels: about a copy of the largest layer's activations and weights."""
    return _FLOAT * max(batch_size * saved + parameters for saved, parameters in net.layer_sizes)


def _disk_bytes(spec: ExperimentSpec, work: Work, parameters: int, num_seeds: int) -> int:
    """theta_0 and theta_T, the kind's artifacts, two copies of the resume state."""
    thetas = 2 + len(spec.kept_checkpoints().names)
    kept = parameters * (thetas * _FLOAT + work.bytes_per_parameter)
    resume = 2 * parameters * _FLOAT * (2 + optimizer_slots(spec.optimizer))
    return num_seeds * (kept + resume)
