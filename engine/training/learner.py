"""The learner protocol: some seeds of one net that train together; and the hooks of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from engine.timing import Stopwatch


@dataclass(frozen=True, slots=True)
class EpochStatistics:
    """One seed over one epoch; NaN if the loss is not finite."""

    train_loss: float
    """Mean cross-entropy over the epoch's examples, each before the step that uses it."""
    train_accuracy: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One seed on the whole test set."""

    test_accuracy: float
    test_loss: float


class Learner(Protocol):
    """K nets of the same spec, one per seed, that train together."""

    @property
    def seeds(self) -> tuple[int, ...]: ...

    @property
    def num_steps(self) -> int:
        """Steps per epoch."""
        ...

    @property
    def stopwatch(self) -> Stopwatch: ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the reader of the result on how it was computed."""
        ...

    def begin_epoch(self, epoch: int, trained: frozenset[int] | None) -> None:
        """Set the epoch's data order, learning rate and trained layers (None: all).

        Epochs count from 1.
        """
        ...

    def train_step(self, step: int) -> None:
        """One optimiser step of every seed on batch `step` of the epoch, counted from 0."""
        ...

    def end_epoch(self) -> Sequence[EpochStatistics]:
        """The epoch's statistics of each seed; synchronises with the device."""
        ...

    def evaluate(self) -> Sequence[Evaluation]:
        """Evaluate every seed on the test set; synchronises with the device."""
        ...

    def parameters(self, index: int) -> dict[str, Tensor]:
        """Copies of the parameters and buffers of the seed at `index`, on the CPU.

        Names are those of the net.
        """
        ...

    def full_gradient(self, index: int) -> Tensor:
        """Gradient [p] of the mean train loss, in the order of `named_parameters()`."""
        ...

    def batch_gradient(self, index: int) -> Tensor:
        """Gradient [p] of the last step's batch as passed to the optimiser.

        Weight decay is not included.
        """
        ...

    def capture(self) -> dict[str, Tensor]:
        """All state that later steps depend on, as tensors that share no memory with it."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the tensors of `capture()`; later steps then give the same bits."""
        ...


class EpochHook(Protocol):
    """Called at the end of each epoch; its state is saved and resumed with the training."""

    def __call__(self, learner: Learner, epoch: int) -> None: ...

    def capture(self) -> dict[str, Tensor]: ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None: ...


class StepHook(Protocol):
    """Called after each step; its state is saved and resumed with the training.

    step: counts from 1 over the whole training.
    """

    def __call__(self, learner: Learner, step: int) -> None: ...

    def capture(self) -> dict[str, Tensor]: ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None: ...
