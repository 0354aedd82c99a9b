"""Specs: the complete, immutable input of one point, with a digest.

Every field has a default, every number a range, and unknown fields are rejected. Specs with the
same digest are equal, but for the order of lists whose order means nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, Strict, StringConstraints, model_validator

from engine.data.bounds import num_batches
from engine.data.spec import CorruptionSpec, DatasetInfo, DataSpec
from engine.errors import FieldError
from engine.models.parametrization import (
    ParametrizationSpec,
    StandardSpec,
    TensorScale,
    find_scales,
)
from engine.models.spec import InitSpec, ModelSpec, OutputScaleSpec, ReluNetSpec, XavierSpec
from engine.moments import (
    EpochChoice,
    EpochList,
    EveryEpochs,
    StepList,
    choose_epochs,
    count_epochs,
)
from engine.optim.spec import (
    AdamSpec,
    AdamWSpec,
    ConstantSpec,
    CrossEntropySpec,
    LossSpec,
    OptimizerSpec,
    ScheduleSpec,
)
from engine.probes.spec import ProbesSpec, check_probes
from engine.span import StepSpan, count_steps
from engine.spec_model import FOR_DIGEST, NUMBER, WORD, SpecModel, one_of, refuse

TRAINING_VERSION = 1
"""Part of every training digest; increased whenever the same spec would give other weights."""

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


WorkerLabel = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class Execution(SpecModel):
    """How a run is computed. It changes speed and rounding, never what is computed."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to compute; `auto` uses a GPU if a GPU worker is running."
    )
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        "fp32", description="Arithmetic of the forward and backward pass; `tf32` needs a GPU."
    )
    deterministic: bool = Field(
        True, description="Equal bits for equal input on the same platform and device."
    )
    threads: int = Field(
        1,
        ge=1,
        le=64,
        description="CPU threads of a run's arithmetic. Another number rounds differently, so it "
        "is part of the identity of a training, whatever the cores of the worker.",
    )
    prefix_cache: bool = Field(
        True,
        description="Layer-wise sparse SGD caches the activations below the lowest trained layer.",
    )
    cuda_graphs: bool = Field(
        True,
        description="On a GPU, record a training step once and replay it; the weights are "
        "bit-equal either way.",
    )
    stack_seeds: bool = Field(
        True, description="Train the seeds of a small ReLU-Net together as one batched net."
    )
    seeds_per_run: Annotated[
        Annotated[Literal["auto"], WORD]
        | Annotated[Annotated[int, Field(ge=1, le=64), Strict()], NUMBER],
        one_of('a number of seeds from 1 to 64, or "auto"', "auto"),
    ] = Field(
        "auto",
        description="How many seeds one run trains; `auto` splits stacked seeds over the workers "
        "that are free, else puts them into one run, and gives every other seed its own run.",
    )
    requires: dict[WorkerLabel, WorkerLabel] = Field(
        default={},
        max_length=8,
        exclude_if=lambda labels: not labels,
        description='Labels that a worker must have, as `{"gpu": "h100"}`; operators set them.',
    )


@dataclass(frozen=True, slots=True)
class Work:
    """What a kind computes for a seed in addition to a plain training; input of `engine.cost`."""

    train_fraction: float = 1.0
    """The training's FLOPs as an expected share of those of plain training."""
    own_trainings: float = 0.0
    """Further trainings of the kind, in passes over the train set as a share of the training's: a
    run that loads the training computes them too."""
    full_gradients: int = 0
    """Number of gradients over the whole train set."""
    test_evaluations: int = 0
    """Evaluations of the whole test set, beyond one per epoch and one before the first."""
    bytes_per_parameter: int = 0
    """Memory per parameter that the kind holds, and bytes per parameter of its artifacts."""
    scratch_bytes_per_parameter: int = 0
    """Temporary memory per parameter, for one seed at a time."""
    sorted_per_parameter: int = 0
    """Values per parameter that the kind sorts and stores compressed."""


MAX_MOMENTS = 100
"""The most epochs, and the most steps, that the field `checkpoints` of a spec may hold."""


class KeptCheckpoints(SpecModel):
    """At which moments a training keeps the weights, for its own spec and for others; any number.

    Besides them it keeps its start and its end.
    """

    epochs: EpochList = ()
    steps: StepList = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the kept checkpoints."""
        return (*(f"epoch_{one}" for one in self.epochs), *(f"step_{one}" for one in self.steps))

    def union(self, *others: KeptCheckpoints) -> KeptCheckpoints:
        """The moments of all, ascending."""
        every = (self, *others)
        return KeptCheckpoints(
            epochs=tuple(sorted({epoch for one in every for epoch in one.epochs})),
            steps=tuple(sorted({step for one in every for step in one.steps})),
        )


class CheckpointsSpec(KeptCheckpoints):
    """At which moments the training keeps the weights, besides its start and its end."""

    epochs: EpochList = Field(
        (), max_length=MAX_MOMENTS, description="After these epochs: `epoch_1`, ..."
    )
    steps: StepList = Field(
        (),
        max_length=MAX_MOMENTS,
        description="After these steps of the whole training: `step_20`, ...",
    )


class ExperimentSpec(SpecModel):
    """The fields that every kind shares: data, net, initialisation, training (paper, Section 3)."""

    version: ClassVar[int] = 1
    """The kind's version: increased when its procedure gives other numbers for the same spec."""
    loads_trainings: ClassVar[bool] = True
    """Whether trainings of other runs are reused; False for kinds with hooks in the training."""
    uses_initial_net: ClassVar[bool] = False
    """Whether results compare with the net that the paper calls initial (Section 4)."""

    kind: str
    data: DataSpec = DataSpec()
    model: ModelSpec = ReluNetSpec()
    init: InitSpec = XavierSpec()
    optimizer: OptimizerSpec = AdamSpec()
    schedule: ScheduleSpec = ConstantSpec()
    loss: LossSpec = Field(
        CrossEntropySpec(),
        description="What the training minimises. `train_loss` and `test_loss` are the plain "
        "cross-entropy whatever it is, so that trainings can be compared.",
    )
    clip_norm: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description="Scales the gradient of the trained layers down to this norm where it is "
        "larger.",
    )
    output_scale: OutputScaleSpec | None = Field(
        None,
        description="Scales the output of the net: large values are lazy, small ones rich. Losses "
        "and accuracies are those of the scaled output. null: the output as it is.",
    )
    parametrization: ParametrizationSpec = Field(
        StandardSpec(),
        description="How the parameters that train become weights: as they are (`standard`), or "
        "times factors of the width, so that one learning rate serves all widths in the lazy "
        "(`ntk`) or the rich (`mup`) regime. Checkpoints, movement and probes are those of the "
        "parameters.",
    )
    init_seed: Seed | None = Field(
        None,
        description="Draws the initial weights of every seed, so that all start equal; null draws "
        "them from the seed.",
    )
    order_seed: Seed | None = Field(
        None,
        description="Draws the order of the examples and their augmentation for every seed; null "
        "draws them from the seed.",
    )
    epochs: int = Field(
        20, ge=0, le=10_000, description="Passes over the train set; 0 evaluates the initial net."
    )
    batch_size: int = Field(
        128,
        ge=2,
        le=65_536,
        description="Examples per step; the last batch of an epoch may be smaller.",
    )
    evaluate: EpochChoice = Field(
        EveryEpochs(),
        description='When the test set is evaluated: `{"every": n}` epochs, a list of epochs, or '
        "`log` (ten epochs a decade). The initial and the trained net always are.",
    )
    checkpoints: CheckpointsSpec = Field(
        CheckpointsSpec(),
        description="Keeps the weights at these moments, whatever `keep` says: to download, as "
        "`init.checkpoint`, or to reset to.",
    )
    probes: ProbesSpec | None = Field(
        None,
        description="Measures how far the net has moved from its start, in parameters, features "
        "and tangent kernel: which regime it trains in. Null measures nothing.",
    )

    added_fields: ClassVar[Mapping[str, Any]] = {
        "evaluate": {"every": 1},
        "checkpoints": {"epochs": [], "steps": []},
        "probes": None,
        "data.normalization": "standardize",
        "schedule.warmup": None,
        "init.layer_gains": [],
        "loss": {"name": "cross_entropy", "label_smoothing": 0.0},
        "clip_norm": None,
        "output_scale": None,
        "parametrization": {"name": "standard"},
        "init_seed": None,
        "order_seed": None,
        "data.corruption": CorruptionSpec().model_dump(mode="json"),
    }
    """Fields that earlier versions did not have, with the value that means what these versions did.
    A digest leaves a field with this value out, so that equal specs keep equal digests."""

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        refuse(type(self), self.check_fields())
        return self

    def check_fields(self) -> list[FieldError]:
        """The errors of fields that do not fit one another, at pointers such as `reset_to/epoch`.

        A kind that has such fields overrides this and adds its own.
        """
        return [
            epoch_too_late(f"checkpoints/epochs/{index}", epoch, self.epochs)
            for index, epoch in enumerate(self.checkpoints.epochs)
            if epoch > self.epochs
        ]

    def kept_checkpoints(self) -> KeptCheckpoints:
        """The checkpoints that the training must keep; kinds that reset to one add it."""
        return self.checkpoints

    def evaluated_epochs(self) -> frozenset[int]:
        """The epochs after which the test set is evaluated; 0 is the initial net."""
        return choose_epochs(self.evaluate, self.epochs)

    def num_evaluations(self) -> int:
        """The number of `evaluated_epochs`; it takes the same time for any number of epochs."""
        return count_epochs(self.evaluate, self.epochs)

    def probed_epochs(self) -> frozenset[int]:
        """The epochs after which `probes` measure; none without them."""
        return frozenset() if self.probes is None else self.probes.choose_epochs(self.epochs)

    def steps_per_epoch(self, info: DatasetInfo) -> int:
        """Optimiser steps of an epoch on this data set."""
        return num_batches(self.data.train_size or info.train_size, self.batch_size)

    def num_steps(self, info: DatasetInfo) -> int:
        """Optimiser steps of the whole training on this data set."""
        return self.epochs * self.steps_per_epoch(info)

    def check_data(self, info: DatasetInfo) -> list[FieldError]:
        """The errors that only the data set decides, at pointers such as `#/spec/steps/0`.

        A kind that has such fields overrides this and adds its own.
        """
        total = self.num_steps(info)
        return [
            *(
                step_too_late(f"#/spec/checkpoints/steps/{index}", step, total)
                for index, step in enumerate(self.checkpoints.steps)
                if step > total
            ),
            *self._check_warmup(total, self.steps_per_epoch(info)),
            *(check_probes(self.probes, self.data, info) if self.probes else ()),
        ]

    def _check_warmup(self, total: int, steps_per_epoch: int) -> list[FieldError]:
        """The warm-up must end before the training; without epochs there is none."""
        warmup = self.schedule.warmup
        if warmup is None or not total:
            return []
        steps = count_steps(warmup, steps_per_epoch)
        if steps < total:
            return []
        unit = "steps" if isinstance(warmup, StepSpan) else "epochs"
        return [
            FieldError(
                f"#/spec/schedule/warmup/{unit}",
                "beyond-the-training",
                f"the warm-up takes {steps:,} of the training's {total:,} steps on this data set; "
                "name fewer, or train for more epochs",
            )
        ]

    def work(self, info: DatasetInfo) -> Work:
        """Work in addition to a plain training on this data set; kinds with such work override it.

        info: the data set of `self.data`, whose shape may decide the amount.
        """
        return Work()

    def describe_work(self, info: DatasetInfo) -> tuple[str, ...]:
        """What a preview tells about the cost of this work; nothing by default."""
        return ()

    def order_seeds(self, seeds: Sequence[int]) -> tuple[int, ...]:
        """What draws the order of the examples and their augmentation, for each of the seeds."""
        return tuple(seed if self.order_seed is None else self.order_seed for seed in seeds)

    def stacks_seeds(self, execution: Execution) -> bool:
        """Whether the seeds of one run train together as one batched net.

        The stacked learner trains all layers of ReLU-Nets. A kind that passes a schedule of trained
        layers to `train` overrides this to return False.
        """
        return (
            execution.stack_seeds
            and isinstance(self.model, ReluNetSpec)
            and self.data.augmentation == "none"
            and execution.precision != "bf16"
            and not self.unstacked_fields()
        )

    def unstacked_fields(self) -> dict[str, Any]:
        """The fields that the stacked learner does not implement, with a value that it does."""
        fields: dict[str, Any] = {}
        if self.loss != CrossEntropySpec():
            fields["loss"] = CrossEntropySpec()
        if self.clip_norm is not None:
            fields["clip_norm"] = None
        if self.output_scale is not None:
            fields["output_scale"] = None
        if self.parametrization != StandardSpec():
            fields["parametrization"] = StandardSpec()
        if isinstance(self.optimizer, AdamWSpec) and self.optimizer.decay != "all":
            fields["optimizer"] = AdamWSpec()
        return fields

    def find_scales(self, info: DatasetInfo) -> Mapping[str, TensorScale]:
        """The parametrisation of each of the net's parameters; empty for the standard one."""
        is_adam = isinstance(self.optimizer, AdamSpec | AdamWSpec)
        return find_scales(self.parametrization, self.model, info, is_adam=is_adam)

    def precision(self, execution: Execution) -> str:
        """The arithmetic of the run: fp32 where the output is scaled.

        A lazy net's output differs from that of its start by less than another precision rounds.
        """
        return execution.precision if self.output_scale is None else "fp32"

    @classmethod
    def describe_speed(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a spec's JSON that decide how fast its runs compute.

        `engine.cost` computes the amount of work from `epochs`, the sizes of the data and `work()`,
        so these are left out. Every field that a kind adds is included; a kind overrides this to
        leave out fields that `work()` counts or that do not change the time.
        """
        spec = cls._without_added(spec)
        speed = {name: value for name, value in spec.items() if name not in FIELDS_WITHOUT_SPEED}
        data, optimizer = spec.get("data", {}), spec.get("optimizer", {})
        speed["data"] = [data.get("name"), data.get("augmentation")]
        speed["optimizer"] = optimizer.get("name")
        if speed.get("output_scale"):
            speed["output_scale"] = speed["output_scale"].get("centred")
        if speed.get("parametrization"):
            speed["parametrization"] = speed["parametrization"].get("name")
        return speed

    def canonical_json(self) -> str:
        """The spec as one line of JSON with sorted keys and all defaults."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> str:
        """Identity of the spec: sha256 of the expanded spec and the kind's version."""
        return sha256_of({"spec": self._identity(), "version": self.version})

    def _identity(self) -> dict[str, Any]:
        """The spec as JSON without the added fields that have their first value."""
        return self._without_added(self.model_dump(mode="json", context=FOR_DIGEST))

    @classmethod
    def _without_added(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        """A spec's JSON without the added fields that have their first value, or are missing."""
        kept = dict(spec)
        for parent, name, value in cls._list_added():
            part = kept.get(parent, {}) if parent else kept
            if name in part and part[name] == value:
                if parent:
                    part = kept[parent] = dict(part)
                del part[name]
        return kept

    @classmethod
    @cache
    def _list_added(cls) -> tuple[tuple[str, str, Any], ...]:
        """(part of the spec or empty, field, first value) of each added field."""
        paths = [(path.rpartition("."), value) for path, value in cls.added_fields.items()]
        return tuple((parent, name, value) for (parent, _, name), value in paths)

    def training_spec(self) -> dict[str, Any]:
        """The part of the spec that decides the trained weights; kinds that change it add to it."""
        dumped = self._identity()
        return {name: dumped[name] for name in TRAINING_FIELDS if name in dumped}

    def training_digest(self, seed: int, execution: Execution, data_sha256: str) -> str:
        """Identity of one seed's training: equal digests mean equal theta_0 and theta_T."""
        return sha256_of(
            {**self._training_identity(execution), "seed": seed, "data_sha256": data_sha256}
        )

    def training_spec_digest(self, execution: Execution) -> str:
        """Identity of the training without the data and the seed: known before the data is read."""
        return sha256_of(self._training_identity(execution))

    def _training_identity(self, execution: Execution) -> dict[str, Any]:
        arithmetic = execution.model_dump(
            mode="json", include={"precision", "deterministic", "stack_seeds", "threads"}
        )
        return {
            "training": self.training_spec(),
            "execution": arithmetic,
            "version": TRAINING_VERSION,
        }


def epoch_too_late(pointer: str, epoch: int, epochs: int) -> FieldError:
    """The error for an epoch beyond the training's."""
    return FieldError(
        pointer,
        "beyond-the-training",
        f"epoch {epoch:,} is beyond the training's {epochs:,} epochs; name an earlier one, or "
        "train for more epochs",
    )


def step_too_late(pointer: str, step: int, total: int) -> FieldError:
    """The error for a step beyond the training's total."""
    return FieldError(
        pointer,
        "beyond-the-training",
        f"step {step:,} is beyond the training's {total:,} steps on this data set; name an earlier "
        "one, or train for more epochs",
    )


FIELDS_WITHOUT_SPEED = frozenset(
    {"init", "init_seed", "order_seed", "schedule", "epochs", "evaluate", "checkpoints"}
)
TRAINING_FIELDS = (
    *("data", "model", "init", "init_seed", "order_seed", "optimizer", "schedule", "loss"),
    *("clip_norm", "output_scale", "parametrization", "epochs", "batch_size", "evaluate"),
    "probes",
)
"""With what a training logs, as one that is loaded brings its metrics. The checkpoints are left
out: a training that has them is found for a spec that needs fewer."""


def canonical_json(value: Any) -> str:
    """One line of JSON with sorted keys; raises ValueError on NaN and infinity."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256_of(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


__all__ = [
    "Execution",
    "ExperimentSpec",
    "Seed",
    "SpecModel",
    "Work",
    "canonical_json",
    "sha256_of",
]
