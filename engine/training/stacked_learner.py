"""Train K ReLU-Nets together, with a hand-written backward on flat vectors of parameters and
gradients.

Element-wise work and the optimiser run once for all seeds. Matrix products are batched only if that
does not change a seed's bits, so that these do not depend on the other seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor

from engine.data.resident import ResidentData, batch_bounds, epoch_order
from engine.data.streamed import StreamedExamples
from engine.models.net import LayeredNet
from engine.optim.schedule import learning_rate
from engine.optim.spec import AdamSpec, AdamWSpec
from engine.spec import ExperimentSpec
from engine.timing import Stopwatch
from engine.training.learner import EpochStatistics, Evaluation
from engine.training.masked import FrozenEntries
from engine.training.products import multiply
from engine.training.recorder import Part, RecordedStep, Recorder
from engine.training.stacked_batch import StackedBatch
from engine.training.stacked_evaluation import evaluate_nets, list_activations

ROW_MULTIPLE = 64
"""A seed's parameters are padded to a multiple of this many floats: element-wise kernels round an
incomplete last vector differently, so without padding a seed's bits would depend on the seeds after
it."""

EVALUATION_FLOATS = 2**24
"""Activations of one layer held by an evaluation; a full gradient holds four times as many."""


class StackedLearner:
    """`Learner` of K ReLU-Nets.

    nets: the initialised nets, one per seed; their weights are copied. movable: of each seed and
    parameter, the entries that may move; None lets all move. orders: what draws the order of the
    examples for each seed; None takes those of the spec.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        data: ResidentData,
        seeds: Sequence[int],
        nets: Sequence[LayeredNet],
        recorder: Recorder,
        movable: Sequence[Mapping[str, Tensor]] | None = None,
        orders: Sequence[int] | None = None,
    ) -> None:
        self._spec, self._data, self._recorder = spec, data, recorder
        self.seeds = tuple(seeds)
        self._orders = tuple(orders or spec.order_seeds(seeds))
        device = data.x_train.device
        self.stopwatch = Stopwatch(device)
        self._names = {name: parameter.shape for name, parameter in nets[0].named_parameters()}
        self._bounds = batch_bounds(len(data.y_train), spec.batch_size)
        self.num_steps = len(self._bounds)
        self._size = sum(shape.numel() for shape in self._names.values())
        self._theta = torch.zeros(
            len(nets), -(-self._size // ROW_MULTIPLE) * ROW_MULTIPLE, device=device
        )
        for row, net in zip(self._theta, nets, strict=True):
            row[: self._size] = torch.cat([p.detach().reshape(-1) for p in net.parameters()])
        self._gradient = torch.zeros_like(self._theta)
        self._frozen = None if movable is None else self._freeze(movable)
        self._first_moment = torch.zeros_like(self._theta)
        self._second_moment = (
            torch.zeros_like(self._theta)
            if isinstance(spec.optimizer, AdamSpec | AdamWSpec)
            else None
        )
        self._count = torch.zeros((), device=device)
        self._weights, self._biases = _layer_views(self._theta, self._names)
        gradients = _layer_views(self._gradient, self._names)
        self._top_bias = self._biases[-1][:, :, None]
        self._x_train = data.x_train.reshape(len(data.y_train), -1)
        self._x_test = data.x_test.reshape(len(data.y_test), -1)
        self._classes = torch.arange(self._biases[-1].shape[1], device=device)[None, :, None]
        by_count = {
            count: StackedBatch(
                count, prod(data.info.shape), self._weights, self._biases, *gradients
            )
            for count in sorted({stop - start for start, stop in self._bounds})
        }
        self._batches = [by_count[stop - start] for start, stop in self._bounds]
        """One entry per step"""
        self._steps = {count: RecordedStep(recorder) for count in by_count}
        self._distinct_batches = list(by_count.values())
        self._indices: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._seen = 0
        self._epoch = 0
        self._rate: float | None = None
        self._lr: float | Tensor = torch.zeros((), device=device) if recorder.keeps_memory else 0.0

    def _freeze(self, movable: Sequence[Mapping[str, Tensor]]) -> FrozenEntries:
        masks = torch.zeros(self._theta.shape, dtype=torch.bool)
        for row, by_name in zip(masks, movable, strict=True):
            row[: self._size] = torch.cat([by_name[name].reshape(-1) for name in self._names])
        return FrozenEntries([self._theta], [masks])

    @property
    def notes(self) -> tuple[str, ...]:
        return self._recorder.notes

    def begin_epoch(self, epoch: int, trained: frozenset[int] | None) -> None:
        assert trained is None, "stacked nets train every layer"
        self._epoch = epoch
        count, device = len(self._data.y_train), self._theta.device
        orders = [epoch_order(seed, epoch - 1, count) for seed in self._orders]
        order = torch.stack(orders).to(device)
        labels = self._data.y_train[order]
        self._indices, self._labels = [], []
        for (start, stop), batch in zip(self._bounds, self._batches, strict=True):
            padding = (0, batch.num_rows - batch.count)
            indices = torch.nn.functional.pad(order[:, start:stop], padding)
            self._indices.append(indices.reshape(-1))
            # -1 is no class, so padding rows have no loss
            self._labels.append(
                torch.nn.functional.pad(labels[:, start:stop], padding, value=-1)[:, None]
            )

    def train_step(self, step: int) -> None:
        batch = self._batches[step]
        self.stopwatch.start()
        self._set_learning_rate(step)
        batch.indices.copy_(self._indices[step])
        batch.labels.copy_(self._labels[step])
        if isinstance(self._x_train, StreamedExamples):
            batch.inputs.flatten(0, 1).copy_(self._x_train[self._indices[step]])
            self.stopwatch.lap("load")
        self._steps[batch.count].run(self._list_parts(batch), self.stopwatch)
        self._seen += batch.count

    def _set_learning_rate(self, step: int) -> None:
        """Set that of a step of the epoch; a tensor on a GPU is written only if it changes."""
        rate = learning_rate(
            self._spec.optimizer,
            self._spec.schedule,
            (self._epoch - 1) * self.num_steps + step,
            steps_per_epoch=self.num_steps,
            total_steps=self._spec.epochs * self.num_steps,
        )
        if rate != self._rate:
            self._lr = self._lr.fill_(rate) if isinstance(self._lr, Tensor) else rate
            self._rate = rate

    def _list_parts(self, batch: StackedBatch) -> list[tuple[str, Part]]:
        """Of a step of this batch size."""
        return [
            *self._list_loads(batch),
            ("forward", partial(self._forward, batch)),
            ("backward", partial(self._backward, batch)),
            ("optimizer", self._update),
        ]

    def _list_loads(self, batch: StackedBatch) -> list[tuple[str, Part]]:
        """Nothing for streamed examples, which come from the host in each step."""
        x = self._x_train
        if isinstance(x, StreamedExamples):
            return []
        inputs = batch.inputs.flatten(0, 1)
        return [("load", lambda: torch.index_select(x, 0, batch.indices, out=inputs))]

    def _forward(self, batch: StackedBatch) -> None:
        for products, activations in zip(batch.forward_products, batch.activations, strict=False):
            for product in products:
                product()
            activations.relu_()
        for product in batch.forward_products[-1]:
            product()
        batch.logits.add_(self._top_bias)
        torch.eq(batch.labels, self._classes, out=batch.one_hot)
        torch.log_softmax(batch.logits, 1, out=batch.log_probabilities)
        batch.loss_sums.addcmul_(batch.one_hot, batch.log_probabilities, value=-1)
        torch.max(batch.logits, 1, out=(batch.best_values, batch.best))
        batch.hits.add_(batch.best == batch.labels[:, 0])

    def _backward(self, batch: StackedBatch) -> None:
        torch.ops.aten._log_softmax_backward_data.out(
            batch.one_hot, batch.log_probabilities, 1, torch.float32, out=batch.logit_deltas
        )
        batch.logit_deltas.div_(-batch.count)
        for layer in reversed(range(len(self._weights))):
            for product in batch.gradient_products[layer]:
                product()
            values, dimension, out = batch.bias_sums[layer]
            torch.sum(values, dimension, out=out)
            if layer:
                below = batch.deltas[layer - 1]
                for product in batch.delta_products[layer - 1]:
                    product()
                torch.ops.aten.threshold_backward.grad_input(
                    below, batch.activations[layer - 1], 0.0, grad_input=below
                )

    def _update(self) -> None:
        if self._frozen is None:
            self._move()
            return
        self._frozen.clear_gradients([self._gradient])
        self._move()
        self._frozen.restore()

    def _move(self) -> None:
        optimizer = self._spec.optimizer
        if isinstance(optimizer, AdamSpec | AdamWSpec):
            self._count += 1
            assert self._second_moment is not None
            decoupled = isinstance(optimizer, AdamWSpec)
            (torch._fused_adamw_ if decoupled else torch._fused_adam_)(
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
            is_first_step=False,  # with dampening 0 and zero buffers no step is special
        )

    def end_epoch(self) -> Sequence[EpochStatistics]:
        seen = max(self._seen, 1)
        self._seen = 0
        losses, hits = (
            torch.zeros(len(self.seeds), dtype=torch.float64),
            torch.zeros(len(self.seeds)),
        )
        for batch in self._distinct_batches:
            losses += batch.loss_sums[:, :, : batch.count].sum((1, 2), dtype=torch.float64).cpu()
            hits += batch.hits[:, : batch.count].sum(1).cpu()
            for accumulator in batch.capture().values():
                accumulator.zero_()
        return [
            EpochStatistics(loss / seen, count / seen)
            for loss, count in zip(losses.tolist(), hits.tolist(), strict=True)
        ]

    def evaluate(self) -> Sequence[Evaluation]:
        with self.stopwatch.part("evaluation"):
            return evaluate_nets(
                self._x_test,
                self._data.y_test,
                self._weights,
                self._biases,
                self._rows_at_once(1024, EVALUATION_FLOATS),
            )

    def parameters(self, index: int) -> dict[str, Tensor]:
        return _unflatten(self._theta[index, : self._size].to("cpu", copy=True), self._names)

    def full_gradient(self, index: int) -> Tensor:
        count = len(self._data.y_train)
        gradient = self._theta.new_zeros(self._size)
        weights, biases = _layer_views(gradient[None], self._names)
        layers = [(w[index], b[index]) for w, b in zip(self._weights, self._biases, strict=True)]
        for start, stop in batch_bounds(count, self._rows_at_once(2048, 4 * EVALUATION_FLOATS)):
            x, labels = self._x_train[start:stop], self._data.y_train[start:stop]
            inputs = [x, *list_activations(x, layers)]
            delta = torch.softmax(inputs.pop(), dim=1)
            delta.scatter_add_(1, labels[:, None], delta.new_full((len(labels), 1), -1.0)).div_(
                count
            )
            for layer in reversed(range(len(self._weights))):
                weights[layer][0].add_(multiply(delta.t(), inputs[layer].t()))
                biases[layer][0].add_(delta.sum(dim=0))
                if layer:
                    delta = multiply(delta, self._weights[layer][index].t()).mul_(inputs[layer] > 0)
        return gradient

    def batch_gradient(self, index: int) -> Tensor:
        return self._gradient[index, : self._size].clone()

    def capture(self) -> dict[str, Tensor]:
        state = {**self._state(), "seen": torch.tensor(self._seen)}
        if self._frozen is not None:
            state |= self._frozen.capture()
        return {name: tensor.to("cpu", copy=True) for name, tensor in state.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in self._state().items():
            tensor.copy_(tensors[name])
        if self._frozen is not None:
            self._frozen.resume(tensors)
        self._seen = int(tensors["seen"])

    def _state(self) -> dict[str, Tensor]:
        """All tensors that later steps depend on."""
        state = {"theta": self._theta, "first_moment": self._first_moment, "count": self._count}
        if self._second_moment is not None:
            state["second_moment"] = self._second_moment
        for batch in self._distinct_batches:
            state |= batch.capture()
        return state

    def _rows_at_once(self, most: int, floats: int) -> int:
        widest = max(weight.shape[1] for weight in self._weights)
        return max(16, min(most, floats // widest))


def _layer_views(
    flat: Tensor, names: Mapping[str, torch.Size]
) -> tuple[list[Tensor], list[Tensor]]:
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
    return {
        name: part.view(shape).clone()
        for (name, shape), part in zip(names.items(), parts, strict=True)
    }
