"""The state of a seed while it trains, and its result at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import exp, fsum, lgamma, log, log1p
from typing import Any

from torch import Tensor

from engine.arithmetic import list_differences
from engine.context import FinishedTraining
from engine.models.weights import load_tensors
from engine.result import Outcome, Timings

CHANCE_LEVEL = 0.00135
"""A net is at chance if guessing is at least as accurate with this probability: one-sided, three
standard deviations of a normal distribution."""


def is_at_chance(num_correct: int, num_examples: int, num_of_largest_class: int) -> bool:
    """Whether a net is no better on the test set than naming its largest class always.

    An exact binomial test, so it holds for small and for unbalanced test sets: each example is
    right with the largest class's share as probability. True if at least `num_correct` of
    `num_examples` are right with a probability of at least `CHANCE_LEVEL`.
    """
    share = num_of_largest_class / num_examples
    if num_correct <= num_examples * share:
        return True
    log_share, log_rest = log(share), log1p(-share)
    tail = fsum(
        exp(
            lgamma(num_examples + 1)
            - lgamma(right + 1)
            - lgamma(num_examples - right + 1)
            + right * log_share
            + (num_examples - right) * log_rest
        )
        for right in range(num_correct, num_examples + 1)
    )
    return tail >= CHANCE_LEVEL


def judge_outcome(*, is_finite: bool, test_accuracy: float, test_labels: Tensor) -> Outcome:
    """How a training ended; `test_labels` are those of the test set used, int64 [n]."""
    if not is_finite:
        return "not_finite"
    num_examples = len(test_labels)
    num_correct = round(test_accuracy * num_examples)
    largest = int(test_labels.bincount().max())
    return "at_chance" if is_at_chance(num_correct, num_examples, largest) else "trained"


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
    arithmetic: Mapping[str, str]
    """What its bits depend on; see `engine.arithmetic`."""
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
            "arithmetic": dict(self.arithmetic),
        }

    @classmethod
    def from_finished(
        cls,
        seed: int,
        found: FinishedTraining,
        run_id: str,
        test_labels: Tensor,
        arithmetic: Mapping[str, str],
    ) -> TrainedSeed:
        """A training that was loaded instead of repeated.

        `reused_from` is None if this run trained it itself. A note lists how the arithmetic that
        trained it differs from `arithmetic`, this process's own.
        """
        result = found.result
        stored = result.get("arithmetic", {})
        differences = list_differences(stored, arithmetic)
        notes = tuple(result["notes"])
        if differences:
            notes += (
                "the training was loaded; computed here, its bits may differ "
                f"({'; '.join(differences)})",
            )
        return cls(
            seed=seed,
            outcome=judge_outcome(
                is_finite=result["outcome"] != "not_finite",
                test_accuracy=result["test_accuracy"],
                test_labels=test_labels,
            ),
            test_accuracy=result["test_accuracy"],
            initial_test_accuracy=result["initial_test_accuracy"],
            train_loss=result["train_loss"],
            timings=Timings(**result["timings"]),
            epoch_timings=tuple(Timings(**entry) for entry in result["epoch_timings"]),
            notes=notes,
            theta_0=load_tensors(found.theta_0),
            theta_T=load_tensors(found.theta_T),
            arithmetic=stored,
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
        test_labels: Tensor,
        arithmetic: Mapping[str, str],
    ) -> TrainedSeed:
        """The result of a training that has ended, with its outcome."""
        parts = [Timings(**entry) for entry in history.epoch_timings]
        seconds = [name for name in Timings.model_fields if name.endswith("_seconds")]
        total = Timings(
            **{name: sum(getattr(part, name) for part in parts) for name in seconds},
            stacked_seeds=max((part.stacked_seeds for part in parts), default=1),
        )
        return cls(
            seed=seed,
            outcome=judge_outcome(
                is_finite=not history.is_not_finite,
                test_accuracy=history.test_accuracy,
                test_labels=test_labels,
            ),
            test_accuracy=history.test_accuracy,
            initial_test_accuracy=history.initial_test_accuracy,
            train_loss=history.train_loss,
            timings=total,
            epoch_timings=tuple(parts[1:]),
            notes=notes,
            theta_0=theta_0,
            theta_T=theta_T,
            arithmetic=arithmetic,
        )
