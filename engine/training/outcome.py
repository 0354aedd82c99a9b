"""The state of a seed while it trains, and its result at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import sqrt
from typing import Any

from torch import Tensor

from engine.context import FinishedTraining
from engine.models.weights import load_tensors
from engine.result import Outcome, Timings

CHANCE_SIGMAS = 3.0
"""A net within this many binomial standard deviations of guessing on the test set is at chance."""


def is_at_chance(accuracy: float, num_classes: int, num_examples: int) -> bool:
    """Whether `accuracy` on `num_examples` examples is no better than guessing.

    Guessing picks one of `num_classes` classes.
    """
    chance = 1.0 / num_classes
    return accuracy <= chance + CHANCE_SIGMAS * sqrt(chance * (1 - chance) / num_examples)


@dataclass(slots=True)
class SeedHistory:
    """The state of one seed while its training runs; part of the resume state."""

    initial_test_accuracy: float = 0.0
    test_accuracy: float = 0.0
    train_loss: float | None = None
    is_not_finite: bool = False
    epoch_timings: list[dict[str, float]] = field(default_factory=list)
    """Seconds by part of each epoch; entry 0 is the evaluation at initialisation."""

    def record_timings(self, epoch: int, seconds: Mapping[str, float], num_seeds: int) -> None:
        """Add this seed's share of `seconds`, measured for `num_seeds` seeds, to the epoch."""
        while len(self.epoch_timings) <= epoch:
            self.epoch_timings.append({})
        entry = self.epoch_timings[epoch]
        for name, value in seconds.items():
            entry[f"{name}_seconds"] = entry.get(f"{name}_seconds", 0.0) + value / num_seeds
        entry["stacked_seeds"] = num_seeds

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> SeedHistory:
        return replace(cls(), **entry)


@dataclass(frozen=True, slots=True)
class TrainedSeed:
    """One seed's finished training, its weights on the CPU."""

    seed: int
    outcome: Outcome
    test_accuracy: float
    initial_test_accuracy: float
    train_loss: float | None
    timings: Timings
    epoch_timings: tuple[Timings, ...]
    """One entry per epoch, from epoch 1 on"""
    notes: tuple[str, ...]
    theta_0: dict[str, Tensor]
    theta_T: dict[str, Tensor]
    reused_from: str | None = None

    def result_fields(self) -> dict[str, Any]:
        """The fields of `engine.result.SeedResult`."""
        names = (
            "seed",
            "outcome",
            "test_accuracy",
            "initial_test_accuracy",
            "train_loss",
            "timings",
        )
        return {name: getattr(self, name) for name in (*names, "reused_from", "notes")}

    def to_json(self) -> dict[str, Any]:
        """All but the weights, for a later run that reuses this training."""
        return {
            "outcome": self.outcome,
            "test_accuracy": self.test_accuracy,
            "initial_test_accuracy": self.initial_test_accuracy,
            "train_loss": self.train_loss,
            "timings": self.timings.model_dump(),
            "epoch_timings": [timings.model_dump() for timings in self.epoch_timings],
            "notes": list(self.notes),
        }

    @classmethod
    def from_finished(cls, seed: int, found: FinishedTraining, run_id: str) -> TrainedSeed:
        """A training that was loaded instead of repeated.

        `reused_from` is None if this run trained it itself.
        """
        result = found.result
        return cls(
            seed=seed,
            outcome=result["outcome"],
            test_accuracy=result["test_accuracy"],
            initial_test_accuracy=result["initial_test_accuracy"],
            train_loss=result["train_loss"],
            timings=Timings(**result["timings"]),
            epoch_timings=tuple(Timings(**entry) for entry in result["epoch_timings"]),
            notes=tuple(result["notes"]),
            theta_0=load_tensors(found.theta_0),
            theta_T=load_tensors(found.theta_T),
            reused_from=None if found.run_id == run_id else found.run_id,
        )

    @classmethod
    def from_history(
        cls,
        seed: int,
        history: SeedHistory,
        theta_0: dict[str, Tensor],
        theta_T: dict[str, Tensor],
        notes: tuple[str, ...],
        num_classes: int,
        num_test: int,
    ) -> TrainedSeed:
        """The result of a training that has ended, with its outcome."""
        outcome: Outcome = "trained"
        if history.is_not_finite:
            outcome = "not_finite"
        elif is_at_chance(history.test_accuracy, num_classes, num_test):
            outcome = "at_chance"
        parts = [Timings(**entry) for entry in history.epoch_timings]
        seconds = [name for name in Timings.model_fields if name.endswith("_seconds")]
        total = Timings(
            **{name: sum(getattr(part, name) for part in parts) for name in seconds},
            stacked_seeds=max((part.stacked_seeds for part in parts), default=1),
        )
        return cls(
            seed=seed,
            outcome=outcome,
            test_accuracy=history.test_accuracy,
            initial_test_accuracy=history.initial_test_accuracy,
            train_loss=history.train_loss,
            timings=total,
            epoch_timings=tuple(parts[1:]),
            notes=notes,
            theta_0=theta_0,
            theta_T=theta_T,
        )
