"""What the training loop asks of a learner: some seeds of one net in training together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from engine.timing import Stopwatch


@dataclass(frozen=True, slots=True)
class EpochStatistics:
    """Of one seed over one epoch; NaN where the loss is not finite."""

    train_loss: float
    """Mean cross-entropy over the epoch's examples, each before the step that used it."""
    train_accuracy: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Of one seed on the whole test set."""

    test_accuracy: float
    test_loss: float


class Learner(Protocol):
    """K nets of the same spec, one a seed, in training together."""

    @property
    def seeds(self) -> tuple[int, ...]: ...

    @property
    def num_steps(self) -> int:
        """Steps an epoch."""
        ...

    @property
    def stopwatch(self) -> Stopwatch: ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the result must know of how it was computed."""
        ...

    def begin_epoch(self, epoch: int, trained: frozenset[int] | None) -> None:
        """Fix the epoch's data order, learning rate and trained layers (None: all). Epochs count from 1."""
        ...

    def train_step(self, step: int) -> None:
        """One optimiser step of every seed on its batch number `step` of the epoch, counted from 0."""
        ...

    def end_epoch(self) -> Sequence[EpochStatistics]:
        """The epoch's statistics a seed; waits for the device."""
        ...

    def evaluate(self) -> Sequence[Evaluation]:
        """Every seed on the test set; waits for the device."""
        ...

    def parameters(self, index: int) -> dict[str, Tensor]:
        """Copies on the CPU of the parameters and buffers of the seed at `index`, names as in the net."""
        ...

    def full_gradient(self, index: int) -> Tensor:
        """Gradient [p] of the mean loss over the train set, in the order of `named_parameters()`."""
        ...

    def batch_gradient(self, index: int) -> Tensor:
        """Gradient [p] of the last step's batch as the optimiser received it, weight decay not included."""
        ...

    def capture(self) -> dict[str, Tensor]:
        """Everything that later steps depend on, as tensors that share no memory with the learner."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take `capture()`'s tensors over; later steps give the bits they would have given."""
        ...


class EpochHook(Protocol):
    """Work at the end of each epoch, whose state is saved and resumed with the training."""

    def __call__(self, learner: Learner, epoch: int) -> None: ...

    def capture(self) -> dict[str, Tensor]: ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None: ...


class StepHook(Protocol):
    """Work after chosen steps; `step` counts from 1 over the whole training."""

    def __call__(self, learner: Learner, step: int) -> None: ...

    def capture(self) -> dict[str, Tensor]: ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None: ...
