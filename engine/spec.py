"""The specs: what a user may ask for, complete and immutable, with a digest.

A *spec* is the whole input of one point. Every field has a default, every number a range, and nothing unknown
is accepted. Two specs with the same digest ask for the same thing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, Strict, StringConstraints

from engine.data.spec import DataSpec
from engine.models.spec import InitSpec, ModelSpec, ReluNetSpec, XavierSpec
from engine.optim.spec import AdamSpec, ConstantSpec, OptimizerSpec, ScheduleSpec
from engine.spec_model import SpecModel

TRAINING_VERSION = 1
"""Raised whenever the same training spec would give other weights; part of every training digest."""

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


WorkerLabel = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class Execution(SpecModel):
    """How a run is computed. It changes speed and rounding, never what is asked."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to compute; `auto` takes a GPU where one listens."
    )
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        "fp32", description="Arithmetic of the forward and backward pass. `tf32` is a GPU's."
    )
    deterministic: bool = Field(
        True, description="Equal bits for equal input on the same platform and device."
    )
    prefix_cache: bool = Field(
        True,
        description="Layer-wise sparse SGD keeps the activations below the lowest trained layer.",
    )
    cuda_graphs: bool = Field(
        True,
        description="On a GPU a training step is recorded once and replayed; the weights are the same bits without.",
    )
    stack_seeds: bool = Field(
        True, description="Train the seeds of a small ReLU-Net together as one batched net."
    )
    seeds_per_run: Literal["auto"] | Annotated[int, Field(ge=1, le=64), Strict()] = Field(
        "auto",
        description="How many seeds one run holds; `auto` stacks ReLU-Nets and gives each other net its own run.",
    )
    requires: dict[WorkerLabel, WorkerLabel] = Field(
        default={},
        max_length=8,
        exclude_if=lambda labels: not labels,
        description='Labels that a worker must have to compute it, as `{"gpu": "h100"}`; its operator sets them.',
    )


@dataclass(frozen=True, slots=True)
class Work:
    """What a kind computes for a seed beside a plain training; `engine.cost` turns it into a price."""

    train_fraction: float = 1.0
    """Expected share of the plain training's FLOPs that the training takes."""
    full_gradients: int = 0
    """Gradients over the whole train set."""
    test_evaluations: int = 0
    """Evaluations of the whole test set beyond one an epoch and one before the first."""
    bytes_per_parameter: int = 0
    """Memory, and bytes of artifacts, that the kind keeps a parameter."""
    scratch_bytes_per_parameter: int = 0
    """Memory that the kind takes now and then a parameter, for one seed at a time."""


class ExperimentSpec(SpecModel):
    """What every kind shares: data, net, initialisation and training (paper, Section 3)."""

    version: ClassVar[int] = 1
    """The kind's version: raised when its procedure gives other numbers for the same spec."""
    loads_trainings: ClassVar[bool] = True
    """Whether a training that another run has finished is loaded; kinds that watch the training do it themselves."""

    kind: str
    data: DataSpec = DataSpec()
    model: ModelSpec = ReluNetSpec()
    init: InitSpec = XavierSpec()
    optimizer: OptimizerSpec = AdamSpec()
    schedule: ScheduleSpec = ConstantSpec()
    epochs: int = Field(20, ge=1, le=10_000, description="Passes over the train set.")
    batch_size: int = Field(
        128,
        ge=2,
        le=65_536,
        description="Examples a step; the last batch of an epoch may be smaller.",
    )

    def work(self) -> Work:
        """What this kind computes beside a plain training; kinds that do more, or less, say so here."""
        return Work()

    def stacks_seeds(self, execution: Execution) -> bool:
        """Whether the seeds of one run train together as one batched net.

        `engine.training.stacked_learner` trains all layers of ReLU-Nets. A kind that passes a schedule of trained
        layers to `train` overrides this to return False.
        """
        return (
            execution.stack_seeds
            and isinstance(self.model, ReluNetSpec)
            and self.data.augmentation == "none"
            and execution.precision != "bf16"
        )

    @classmethod
    def describe_speed(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a spec's JSON that decide how fast its runs compute.

        `engine.cost` computes how much work there is from `epochs`, the sizes of the data and `work()`, so they are
        left out. Every field that a kind adds is included; a kind overrides this to leave out fields that `work()`
        counts or that change no time.
        """
        speed = {name: value for name, value in spec.items() if name not in FIELDS_WITHOUT_SPEED}
        data, optimizer = spec.get("data", {}), spec.get("optimizer", {})
        speed["data"] = [data.get("name"), data.get("augmentation")]
        speed["optimizer"] = optimizer.get("name")
        return speed

    def canonical_json(self) -> str:
        """The spec as one line of JSON with sorted keys and every default written out."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> str:
        """Identity of the spec: sha256 over the expanded spec and the kind's version."""
        return sha256_of({"spec": self.model_dump(mode="json"), "version": self.version})

    def training_spec(self) -> dict[str, Any]:
        """The part of the spec that decides the trained weights; kinds that train otherwise add to it."""
        dumped = self.model_dump(mode="json")
        return {name: dumped[name] for name in TRAINING_FIELDS}

    def training_digest(self, seed: int, execution: Execution, data_sha256: str) -> str:
        """Identity of one seed's training: equal digests promise equal theta_0 and theta_T."""
        return sha256_of(
            {**self._training_identity(execution), "seed": seed, "data_sha256": data_sha256}
        )

    def training_spec_digest(self, execution: Execution) -> str:
        """What can be told of that identity before the data are read: all but them and the seed."""
        return sha256_of(self._training_identity(execution))

    def _training_identity(self, execution: Execution) -> dict[str, Any]:
        arithmetic = execution.model_dump(
            mode="json", include={"precision", "deterministic", "stack_seeds"}
        )
        return {
            "training": self.training_spec(),
            "execution": arithmetic,
            "version": TRAINING_VERSION,
        }


FIELDS_WITHOUT_SPEED = frozenset({"init", "schedule", "epochs"})
TRAINING_FIELDS = ("data", "model", "init", "optimizer", "schedule", "epochs", "batch_size")


def canonical_json(value: Any) -> str:
    """One line of JSON with sorted keys; raises ValueError on NaN and infinity."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256_of(value: Any) -> str:
    """sha256 (hex) over the canonical JSON of `value`."""
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
