"""The loss of a step and its gradient: by autograd, or hand-written for linear layers.

The hand-written one is cross-entropy alone. Both run the same kernels in the same order, so they
give the same bits. A hand-written step of the classifier alone takes a third of the time, and nine
of ten epochs of a probabilistic policy consist of such steps (paper, Section 5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.models.net import FlatLinear, LayeredNet
from engine.models.spec import OutputScaleSpec
from engine.optim.spec import CrossEntropySpec, LossSpec, MseSpec

MEAN = 1
"""ATen's code of the reduction `mean`."""
NO_CLASS = -100
"""The label that ATen ignores; no data set has it."""
_nll = torch.ops.aten.nll_loss_forward.default
_nll_backward = torch.ops.aten.nll_loss_backward.default
_log_softmax_backward = torch.ops.aten._log_softmax_backward_data.default
_relu_backward = torch.ops.aten.threshold_backward.default


Objective = Callable[[Tensor, Tensor], Tensor]
"""The mean loss of logits [n, classes] and labels [n]: what a training minimises"""


def build_objective(spec: LossSpec, output_scale: OutputScaleSpec | None) -> Objective:
    """The loss as a function, equal to torch's own; of a scaled output it is divided by alpha^2."""
    if output_scale is not None:
        loss, divisor = build_objective(spec, None), output_scale.alpha**2
        return lambda logits, y: loss(logits, y) / divisor
    match spec:
        case CrossEntropySpec(label_smoothing=smoothing):
            return partial(functional.cross_entropy, label_smoothing=smoothing)
        case MseSpec():
            return _squared_error


def _squared_error(logits: Tensor, y: Tensor) -> Tensor:
    classes = torch.arange(logits.shape[1], device=y.device)
    return functional.mse_loss(logits, (y[:, None] == classes).to(logits.dtype))


class Loss(Protocol):
    """The loss of one batch."""

    logits: Tensor
    """[n, classes], detached from autograd"""
    value: Tensor
    """Mean cross-entropy, whatever is minimised; a scalar detached from autograd"""

    def backward(self) -> None:
        """Set `grad` of the parameters that train; it must be None before."""
        ...


class AutogradLoss:
    """`Loss` of the layers from `start` up, of any net, by autograd."""

    def __init__(
        self,
        net: LayeredNet,
        start: int,
        x: Tensor,
        y: Tensor,
        objective: Objective | None = None,
    ) -> None:
        """x: the input of layer `start`, y: labels [n]. objective: None is cross-entropy."""
        logits: Tensor = net(x, start)
        self.logits = logits.detach()
        if objective is None:
            self._loss = functional.cross_entropy(logits, y)
            self.value = self._loss.detach()
        else:
            self._loss = objective(logits, y)
            self.value = functional.cross_entropy(self.logits, y)

    def backward(self) -> None:
        self._loss.backward()  # type: ignore[no-untyped-call]


class LinearLoss:
    """`Loss` of linear maps with ReLUs between them, in fp32, with a hand-written backward.

    It minimises cross-entropy without label smoothing, and nothing else.
    """

    @torch.no_grad()
    def __init__(self, parts: Sequence[nn.Module], x: Tensor, y: Tensor) -> None:
        """parts: of `find_linear_parts`; x: input of the first part [n, ...], y: labels [n]."""
        self._y = y
        self._inputs: list[tuple[nn.Module, Tensor]] = []
        for part in parts:
            if isinstance(part, FlatLinear):
                x = x.flatten(1)
                self._inputs.append((part, x))
                x = functional.linear(x, part.weight, part.bias)
            else:
                x = x.relu_()
                self._inputs.append((part, x))
        self.logits, self._logs = x, torch.log_softmax(x, 1)
        self.value, self._count = _nll(self._logs, y, None, MEAN, NO_CLASS)

    @torch.no_grad()
    def backward(self) -> None:
        logs = self._logs
        delta = _nll_backward(
            torch.ones_like(self.value), logs, self._y, None, MEAN, NO_CLASS, self._count
        )
        delta = _log_softmax_backward(delta, logs, 1, logs.dtype)
        lowest, _ = self._inputs[0]
        for part, kept in reversed(self._inputs):
            if not isinstance(part, FlatLinear):
                delta = _relu_backward(delta, kept, 0)
                continue
            if part.weight.requires_grad:
                part.weight.grad = delta.t().mm(kept)
            if part.bias.requires_grad:
                part.bias.grad = delta.sum(0)
            if part is not lowest:
                delta = delta.mm(part.weight)


def find_linear_parts(net: LayeredNet, start: int) -> tuple[nn.Module, ...] | None:
    """The pieces of the layers from `start` up, the first a linear map.

    None if any piece is neither a linear map nor a ReLU, or has multipliers.
    """
    if net.scales:
        return None
    parts = tuple(part for layer in net.layers[start:] for part in layer.children())
    return parts if all(isinstance(part, FlatLinear | nn.ReLU) for part in parts) else None
