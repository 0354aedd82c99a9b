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
EXPLAINED = 0.05
"""Share of the entropy of the classes that the loss of a trained net must be below it. Untrained
nets reach 0.029: 1,880 nets of 10 to 1,000 ReLU units and one or four hidden layers, at their best
gain, on the test set of MNIST with pixels in [0, 1] or standardised."""

ACCURATE, MANY_CLASSES = 0.25, 10
"""Of at least so many classes, the share of the way from the largest class's accuracy to 1 beyond
which an accuracy shows a trained net whatever its losses: after few steps a net may be right with
small logits. Untrained nets reach 0.145: 3,120 of 10 to 1,000 ReLU units and one, two or four
hidden layers, on 4,000 test images of MNIST and of Fashion-MNIST, with pixels in [0, 1] or
standardised. The test is binomial too, as small test sets scatter."""


def is_at_chance(num_correct: int, num_examples: int, num_of_largest_class: int) -> bool:
    """Whether a net is no better on the test set than naming its largest class always.

    An exact binomial test, so it holds for small and for unbalanced test sets: each example is
    right with the largest class's share as probability. True if at least `num_correct` of
    `num_examples` are right with a probability of at least `CHANCE_LEVEL`.
    """
    return _may_be_guessed(num_correct, num_examples, num_of_largest_class / num_examples)


def _may_be_guessed(num_correct: int, num_examples: int, share: float) -> bool:
    """Whether so many are right with a probability of at least `CHANCE_LEVEL` where each is right
    with the probability `share`."""
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


def explains_labels(loss: float | None, labels: Tensor) -> bool:
    """Whether a mean cross-entropy shows more than the shares of the classes.

    Of all answers that are the same for every image, the one with the classes' shares as
    probabilities has the lowest loss: their entropy. True if `loss` is lower than that by more than
    `EXPLAINED` of it. labels: those of the loss, int64 [n].
    """
    shares = (labels.bincount().double() / len(labels)).tolist()
    entropy = -fsum(share * log(share) for share in shares if share)
    return loss is not None and loss < (1 - EXPLAINED) * entropy


def judge_outcome(
    *,
    is_finite: bool,
    test_accuracy: float,
    test_loss: float | None,
    train_loss: float | None,
    test_labels: Tensor,
    train_labels: Tensor,
) -> Outcome:
    """How a training ended.

    `trained` where the net is more accurate on the test set than naming its largest class always
    (`is_at_chance`), and the loss at the end on the test set, or the mean of the last epoch on the
    train set, beats a constant answer (`explains_labels`). One loss is enough: an overconfident net
    has a high loss on the test set, an unstable one a high mean over an epoch. A net that is
    accurate enough (`ACCURATE`) needs neither.

    Error rate: a net whose answers do not depend on the image is called trained with a probability
    of at most `CHANCE_LEVEL`, the binomial tail, and never if its answer is constant. An untrained
    net's answers do depend on the image, so that its accuracy alone says little: about a third of
    them beat the largest class of MNIST. But none of 1,880 explained more than 2.9 % of the
    entropy, at whatever gain, so that fewer than 1 in 600 would be called trained (95 % bound, for
    none seen). Limit: a net that has learned less than that is called `at_chance`.

    test_labels, train_labels: those of the sets used, int64 [n]. A loss is None where it is not
    finite or unknown.
    """
    if not is_finite:
        return "not_finite"
    num_examples = len(test_labels)
    num_correct = round(test_accuracy * num_examples)
    largest = int(test_labels.bincount().max())
    has_learned = (
        explains_labels(test_loss, test_labels)
        or explains_labels(train_loss, train_labels)
        or _is_accurate(num_correct, test_labels)
    )
    if not has_learned or is_at_chance(num_correct, num_examples, largest):
        return "at_chance"
    return "trained"


def _is_accurate(num_correct: int, labels: Tensor) -> bool:
    """Whether more are right than by guesses that are right with the accuracy of `ACCURATE`."""
    counts = labels.bincount()
    if int((counts > 0).sum()) < MANY_CLASSES:
        return False
    share = float(counts.max()) / len(labels)
    return not _may_be_guessed(num_correct, len(labels), share + ACCURATE * (1 - share))


@dataclass(slots=True)
class SeedHistory:
    """The state of one seed while its training runs; part of the resume state."""

    initial_test_accuracy: float = 0.0
    test_accuracy: float = 0.0
    train_loss: float | None = None
    test_loss: float | None = None
    is_not_finite: bool = False
    probes: dict[str, float | None] = field(default_factory=dict)
    """What `probes` measured last, by metric"""
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
    test_loss: float | None
    """At the end; None where it was not finite or, in a training of an older version, not stored"""
    timings: Timings
    epoch_timings: tuple[Timings, ...]
    """One entry per epoch, from epoch 1 on"""
    notes: tuple[str, ...]
    theta_0: dict[str, Tensor]
    theta_T: dict[str, Tensor]
    arithmetic: Mapping[str, str]
    """What its bits depend on; see `engine.arithmetic`."""
    probes: Mapping[str, float | None] = field(default_factory=dict)
    """What `probes` measured last, by metric"""
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
            "probes",
        )
        return {name: getattr(self, name) for name in (*names, "reused_from", "notes")}

    def to_json(self) -> dict[str, Any]:
        """All but the weights, for a later run that reuses this training."""
        return {
            "outcome": self.outcome,
            "test_accuracy": self.test_accuracy,
            "initial_test_accuracy": self.initial_test_accuracy,
            "train_loss": self.train_loss,
            "test_loss": self.test_loss,
            "timings": self.timings.model_dump(),
            "epoch_timings": [timings.model_dump() for timings in self.epoch_timings],
            "notes": list(self.notes),
            "arithmetic": dict(self.arithmetic),
            "probes": dict(self.probes),
        }

    @classmethod
    def from_finished(
        cls,
        seed: int,
        found: FinishedTraining,
        run_id: str,
        test_labels: Tensor,
        train_labels: Tensor,
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
                test_loss=result.get("test_loss"),
                train_loss=result["train_loss"],
                test_labels=test_labels,
                train_labels=train_labels,
            ),
            test_accuracy=result["test_accuracy"],
            initial_test_accuracy=result["initial_test_accuracy"],
            train_loss=result["train_loss"],
            test_loss=result.get("test_loss"),
            timings=Timings(**result["timings"]),
            epoch_timings=tuple(Timings(**entry) for entry in result["epoch_timings"]),
            notes=notes,
            theta_0=load_tensors(found.theta_0),
            theta_T=load_tensors(found.theta_T),
            arithmetic=stored,
            probes=result.get("probes", {}),
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
        train_labels: Tensor,
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
                test_loss=history.test_loss,
                train_loss=history.train_loss,
                test_labels=test_labels,
                train_labels=train_labels,
            ),
            test_accuracy=history.test_accuracy,
            initial_test_accuracy=history.initial_test_accuracy,
            train_loss=history.train_loss,
            test_loss=history.test_loss,
            timings=total,
            epoch_timings=tuple(parts[1:]),
            notes=notes,
            theta_0=theta_0,
            theta_T=theta_T,
            arithmetic=arithmetic,
            probes=history.probes,
        )
