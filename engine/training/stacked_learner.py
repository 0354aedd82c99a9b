"""K ReLU-Nets trained together on one flat parameter, gradient and moment vector, with a hand-written backward.

Element-wise work and the optimiser run once for all seeds; each matrix product runs a seed at a time, so that a
seed's bits do not depend on which others are trained beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import Tensor

from engine.data.resident import ResidentData, batch_bounds, epoch_order
from engine.models.net import LayeredNet
from engine.optim.schedule import learning_rate
from engine.optim.spec import AdamSpec
from engine.spec import ExperimentSpec
from engine.timing import Stopwatch
from engine.training.learner import EpochStatistics, Evaluation

ROW_MULTIPLE = 64
"""Floats to which a seed's row is padded: element-wise kernels round their last, incomplete vector otherwise than the
rest, so that a row of any length would depend on the rows behind it."""


class StackedLearner:
    """See the module's text; `nets` are the initialised nets, one a seed, whose weights are copied."""

    def __init__(
        self, spec: ExperimentSpec, data: ResidentData, seeds: Sequence[int], nets: Sequence[LayeredNet]
    ) -> None:
        self._spec, self._data = spec, data
        self.seeds = tuple(seeds)
        self.notes: tuple[str, ...] = ()
        device = data.x_train.device
        self.stopwatch = Stopwatch(device)
        self._names = {name: parameter.shape for name, parameter in nets[0].named_parameters()}
        self._bounds = batch_bounds(len(data.y_train), spec.batch_size)
        self.num_steps = len(self._bounds)
        self._size = sum(shape.numel() for shape in self._names.values())
        self._theta = torch.zeros(len(nets), -(-self._size // ROW_MULTIPLE) * ROW_MULTIPLE, device=device)
        for row, net in zip(self._theta, nets, strict=True):
            row[: self._size] = torch.cat([p.detach().reshape(-1) for p in net.parameters()])
        self._gradient = torch.zeros_like(self._theta)
        self._first_moment = torch.zeros_like(self._theta)
        self._second_moment = torch.zeros_like(self._theta) if isinstance(spec.optimizer, AdamSpec) else None
        self._count = torch.zeros((), device=device)
        self._weights, self._biases = _layer_views(self._theta, self._names)
        self._weight_gradients, self._bias_gradients = _layer_views(self._gradient, self._names)
        self._widths = [weight.shape[1] for weight in self._weights]
        largest = max(stop - start for start, stop in self._bounds)
        self._buffers = _Buffers(len(self.seeds), largest, prod(data.info.shape), self._widths, device)
        self._x_train = data.x_train.reshape(len(data.y_train), -1)
        self._x_test = data.x_test.reshape(len(data.y_test), -1)
        self._losses = torch.zeros(len(self.seeds), device=device)
        self._correct = torch.zeros(len(self.seeds), dtype=torch.int64, device=device)
        self._seen = 0
        self._order = torch.empty(0)
        self._lr = 0.0

    def begin_epoch(self, epoch: int, trained: frozenset[int] | None) -> None:
        assert trained is None, "stacked nets train every layer"
        count = len(self._data.y_train)
        orders = [epoch_order(seed, epoch - 1, count) for seed in self.seeds]
        self._order = torch.stack(orders).to(self._theta.device)
        self._lr = learning_rate(self._spec.optimizer, self._spec.schedule, epoch - 1)

    def train_step(self, step: int) -> None:
        watch = self.stopwatch
        watch.start()
        start, stop = self._bounds[step]
        indices = self._order[:, start:stop].reshape(-1)
        layers = self._buffers.of(stop - start)
        flat = layers.activations[0].view(len(indices), -1)
        torch.index_select(self._x_train, 0, indices, out=flat)
        labels = self._data.y_train.index_select(0, indices)
        watch.lap("load")
        logits = self._forward(layers.activations)
        log_probabilities = torch.log_softmax(logits.view(len(indices), -1), dim=1)
        picked = log_probabilities.gather(1, labels[:, None])
        for k in range(len(self.seeds)):
            rows = slice(k * (stop - start), (k + 1) * (stop - start))
            self._losses[k] -= picked[rows].sum()
        hits = log_probabilities.argmax(dim=1) == labels
        self._correct += hits.view(len(self.seeds), -1).sum(dim=1)
        self._seen += stop - start
        watch.lap("forward")
        delta = layers.deltas[-1]
        torch.exp(log_probabilities, out=delta.view(len(indices), -1))
        delta.view(len(indices), -1).scatter_add_(1, labels[:, None], torch.full_like(picked, -1.0))
        delta.div_(stop - start)
        self._backward(layers.activations, layers.deltas)
        watch.lap("backward")
        self._update()
        watch.lap("optimizer")

    def end_epoch(self) -> Sequence[EpochStatistics]:
        losses, correct, seen = self._losses.tolist(), self._correct.tolist(), max(self._seen, 1)
        self._losses.zero_()
        self._correct.zero_()
        self._seen = 0
        return [EpochStatistics(loss / seen, hits / seen) for loss, hits in zip(losses, correct, strict=True)]

    def evaluate(self) -> Sequence[Evaluation]:
        with self.stopwatch.part("evaluation"):
            labels, count = self._data.y_test, len(self._data.y_test)
            found = []
            for k in range(len(self.seeds)):
                losses = torch.zeros((), dtype=torch.float64, device=labels.device)
                correct = torch.zeros((), dtype=torch.int64, device=labels.device)
                for start, stop in batch_bounds(count, 1024):
                    logits = self._logits(k, self._x_test[start:stop])
                    losses += torch.nn.functional.cross_entropy(logits, labels[start:stop], reduction="sum")
                    correct += (logits.argmax(dim=1) == labels[start:stop]).sum()
                found.append(Evaluation(correct.item() / count, losses.item() / count))
        return found

    def parameters(self, index: int) -> dict[str, Tensor]:
        return _unflatten(self._theta[index, : self._size].to("cpu", copy=True), self._names)

    def full_gradient(self, index: int) -> Tensor:
        count = len(self._data.y_train)
        gradient = self._theta.new_zeros(self._size)
        weights, biases = _layer_views(gradient[None], self._names)
        for start, stop in batch_bounds(count, 2048):
            activations = [self._x_train[start:stop]]
            for layer in range(len(self._weights)):
                value = torch.addmm(
                    self._biases[layer][index], activations[-1], self._weights[layer][index].t()
                )
                activations.append(value.relu_() if layer + 1 < len(self._weights) else value)
            labels = self._data.y_train[start:stop]
            delta = torch.softmax(activations[-1], dim=1)
            delta.scatter_add_(1, labels[:, None], delta.new_full((len(labels), 1), -1.0)).div_(count)
            for layer in reversed(range(len(self._weights))):
                weights[layer][0].addmm_(delta.t(), activations[layer])
                biases[layer][0].add_(delta.sum(dim=0))
                if layer:
                    delta = (delta @ self._weights[layer][index]).mul_(activations[layer] > 0)
        return gradient

    def batch_gradient(self, index: int) -> Tensor:
        return self._gradient[index, : self._size].clone()

    def capture(self) -> dict[str, Tensor]:
        tensors = {
            "theta": self._theta,
            "first_moment": self._first_moment,
            "count": self._count,
            "losses": self._losses,
            "correct": self._correct,
            "seen": torch.tensor(self._seen),
        }
        if self._second_moment is not None:
            tensors["second_moment"] = self._second_moment
        return {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self._theta.copy_(tensors["theta"])
        self._first_moment.copy_(tensors["first_moment"])
        self._count.copy_(tensors["count"])
        self._losses.copy_(tensors["losses"])
        self._correct.copy_(tensors["correct"])
        self._seen = int(tensors["seen"])
        if self._second_moment is not None:
            self._second_moment.copy_(tensors["second_moment"])

    def _forward(self, activations: Sequence[Tensor]) -> Tensor:
        last = len(self._weights) - 1
        for layer, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            for k in range(len(self.seeds)):
                torch.addmm(bias[k], activations[layer][k], weight[k].t(), out=activations[layer + 1][k])
            if layer < last:
                activations[layer + 1].relu_()
        return activations[-1]

    def _backward(self, activations: Sequence[Tensor], deltas: Sequence[Tensor]) -> None:
        for layer in reversed(range(len(self._weights))):
            delta = deltas[layer]
            for k in range(len(self.seeds)):
                torch.mm(delta[k].t(), activations[layer][k], out=self._weight_gradients[layer][k])
                torch.sum(delta[k], dim=0, out=self._bias_gradients[layer][k])
                if layer:
                    torch.mm(delta[k], self._weights[layer][k], out=deltas[layer - 1][k])
            if layer:
                torch.ops.aten.threshold_backward.grad_input(
                    deltas[layer - 1], activations[layer], 0.0, grad_input=deltas[layer - 1]
                )

    def _update(self) -> None:
        optimizer = self._spec.optimizer
        if isinstance(optimizer, AdamSpec):
            self._count += 1
            assert self._second_moment is not None
            torch._fused_adam_(
                [self._theta],
                [self._gradient],
                [self._first_moment],
                [self._second_moment],
                [],
                [self._count],
                lr=self._lr,
                beta1=optimizer.beta1,
                beta2=optimizer.beta2,
                weight_decay=optimizer.weight_decay,
                eps=optimizer.eps,
                amsgrad=False,
                maximize=False,
            )
            return
        torch._fused_sgd_(
            [self._theta],
            [self._gradient],
            [self._first_moment] if optimizer.momentum else [],
            weight_decay=optimizer.weight_decay,
            momentum=optimizer.momentum,
            lr=self._lr,
            dampening=0.0,
            nesterov=optimizer.nesterov and optimizer.momentum > 0,
            maximize=False,
            is_first_step=False,  # with dampening 0 a first step on zero momentum is any step
        )

    def _logits(self, k: int, x: Tensor) -> Tensor:
        last = len(self._weights) - 1
        for layer, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            x = torch.addmm(bias[k], x, weight[k].t())
            if layer < last:
                x.relu_()
        return x


class _BatchLayers:
    """Activations and gradients of every layer for one batch size: views of the same memory at every step."""

    def __init__(self, activations: list[Tensor], deltas: list[Tensor]) -> None:
        self.activations = activations
        """[K, batch, width]: the input, then each layer's output"""
        self.deltas = deltas
        """[K, batch, width]: gradient at each layer's output before its ReLU"""


class _Buffers:
    def __init__(
        self, num_seeds: int, largest: int, inputs: int, widths: Sequence[int], device: torch.device
    ) -> None:
        self._num_seeds, self._inputs, self._widths = num_seeds, inputs, list(widths)
        self._activations = [
            torch.empty(num_seeds * largest * width, device=device) for width in [inputs, *widths]
        ]
        self._deltas = [torch.empty(num_seeds * largest * width, device=device) for width in widths]
        self._views: dict[int, _BatchLayers] = {}

    def of(self, batch: int) -> _BatchLayers:
        if batch not in self._views:
            shape = (self._num_seeds, batch)
            count = self._num_seeds * batch
            self._views[batch] = _BatchLayers(
                [
                    memory[: count * width].view(*shape, width)
                    for memory, width in zip(self._activations, [self._inputs, *self._widths], strict=True)
                ],
                [
                    memory[: count * width].view(*shape, width)
                    for memory, width in zip(self._deltas, self._widths, strict=True)
                ],
            )
        return self._views[batch]


def _layer_views(flat: Tensor, names: Mapping[str, torch.Size]) -> tuple[list[Tensor], list[Tensor]]:
    """Views of [K, p] as weights [K, out, in] and biases [K, out] of each layer."""
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    offset = 0
    for shape in names.values():
        size = shape.numel()
        view = flat[:, offset : offset + size].view(len(flat), *shape)
        (weights if len(shape) == 2 else biases).append(view)
        offset += size
    return weights, biases


def _unflatten(vector: Tensor, names: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    parts = torch.split(vector, [shape.numel() for shape in names.values()])
    return {name: part.view(shape).clone() for (name, shape), part in zip(names.items(), parts, strict=True)}
