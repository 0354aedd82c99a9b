"""The training step of a batch: forward, backward and optimiser, each of which can be recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from engine.timing import Stopwatch
from engine.training.losses import Loss
from engine.training.masked import FrozenEntries
from engine.training.recorder import RecordedStep, Recorder

ComputeLoss = Callable[[Tensor, Tensor], Loss]
"""Compute the loss from the input of the lowest layer that trains, and labels."""


class EpochTotals:
    """Sums over the steps of an epoch, on the device."""

    def __init__(self, device: torch.device) -> None:
        self.losses = torch.zeros((), device=device)
        """Sum of the examples' cross-entropy"""
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self.seen = torch.zeros((), dtype=torch.int64)
        """Examples, counted on the CPU"""

    def tensors(self) -> dict[str, Tensor]:
        return {"losses": self.losses, "correct": self.correct, "seen": self.seen}


class TrainStep:
    """The step for batches of one size with one set of layers that train."""

    def __init__(
        self,
        trained: Sequence[nn.Parameter],
        compute_loss: ComputeLoss,
        optimizer: Optimizer,
        totals: EpochTotals,
        recorder: Recorder,
        clip_norm: float | None = None,
        frozen: FrozenEntries | None = None,
    ) -> None:
        """frozen: the entries of `trained` that may not move, if any."""
        self._frozen = frozen
        self._trained, self._compute_loss, self._totals = tuple(trained), compute_loss, totals
        self._optimizer, self._clip_norm = optimizer, clip_norm
        self._keeps_memory = recorder.keeps_memory
        self._x: Tensor | None = None
        self._y: Tensor | None = None
        self._loss: Loss | None = None
        self._gradients: tuple[Tensor | None, ...] = ()
        self._step = RecordedStep(recorder)

    def run(self, x: Tensor, y: Tensor, stopwatch: Stopwatch) -> None:
        """Run one step. x: input of the lowest layer that trains, for a batch; y: labels [n]."""
        if self._keeps_memory and self._x is not None and self._y is not None:
            self._x.copy_(x)
            self._y.copy_(y)
        elif self._keeps_memory:
            self._x, self._y = x.clone(), y.clone()
        else:
            self._x, self._y = x, y
        parts = (
            ("forward", self._forward),
            ("backward", self._backward),
            ("optimizer", self._update),
        )
        self._step.run(parts, stopwatch)
        if self._keeps_memory:
            # a replay writes to the memory of the gradients but does not set `grad`
            for parameter, gradient in zip(self._trained, self._gradients, strict=True):
                parameter.grad = gradient
        else:
            self._x = self._y = None

    def _forward(self) -> None:
        assert self._x is not None
        assert self._y is not None
        self._loss = self._compute_loss(self._x, self._y)
        self._totals.losses.add_(self._loss.value * len(self._y))
        self._totals.correct.add_((self._loss.logits.argmax(dim=1) == self._y).sum())

    def _backward(self) -> None:
        assert self._loss is not None
        for parameter in self._trained:
            parameter.grad = None
        self._loss.backward()
        self._loss = None  # else autograd would tie the next forward pass to this one's stream
        self._gradients = tuple(parameter.grad for parameter in self._trained)

    def _update(self) -> None:
        if self._frozen is not None:
            self._frozen.clear_gradients([parameter.grad for parameter in self._trained])
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_(self._trained, self._clip_norm)
        self._optimizer.step()
        if self._frozen is not None:
            self._frozen.restore()
