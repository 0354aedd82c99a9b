"""Train one net of any model by autograd: only the epoch's layers, and no backward below them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.data.augmentation import CropFlips, crop_flip, draw_crop_flips
from engine.data.resident import BatchBuffers, ResidentData, batch_bounds, epoch_order
from engine.data.streamed import AnyExamples
from engine.models.net import LayeredNet
from engine.models.output_scale import scale_output
from engine.models.rows import join_rows, select_rows
from engine.models.stability import count_stable_layers
from engine.optim.build import build_optimizer, set_learning_rate
from engine.optim.schedule import learning_rate
from engine.optim.spec import CrossEntropySpec
from engine.seeds import derive_seed
from engine.spec import Execution, ExperimentSpec
from engine.timing import Stopwatch
from engine.training.layer_schedule import LayerSchedule, StepSchedule
from engine.training.learner import EpochStatistics, Evaluation
from engine.training.losses import (
    AutogradLoss,
    LinearLoss,
    Loss,
    build_objective,
    find_linear_parts,
)
from engine.training.masked import FrozenEntries
from engine.training.prefix_cache import FrozenPrefix, build_prefix
from engine.training.recorder import Recorder
from engine.training.train_step import ComputeLoss, EpochTotals, TrainStep

EVALUATION_BATCH = 250
"""Test images per forward pass: few enough for the activations to stay in the CPU's cache."""

MAX_TRAIN_STEPS = 16
"""Train steps kept, the most recently used ones: a recorded one has its own memory, and a policy
can draw other layers in each epoch."""


class ModuleLearner:
    """`Learner` of one seed, trained by autograd.

    net: initialised and on the CPU. schedule: the layers that train in each epoch or step;
    activations below them are cached. None trains all layers. movable: of each parameter, the
    entries that may move; None lets all move, and a schedule needs all. order: what draws the order
    of the examples, their augmentation and dropout; None takes the spec's.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        data: ResidentData,
        seed: int,
        net: LayeredNet,
        execution: Execution,
        recorder: Recorder,
        schedule: LayerSchedule | None = None,
        *,
        movable: Mapping[str, Tensor] | None = None,
        notes: Sequence[str] = (),
        order: int | None = None,
    ) -> None:
        self._spec, self._data, self._seed, self._recorder = spec, data, seed, recorder
        self._notes = tuple(notes)
        self._periods = schedule if isinstance(schedule, StepSchedule) else None
        self._only = None if schedule is None else schedule.parameters
        self._frozen_in_eval = schedule is not None and schedule.frozen_in_eval
        device = data.x_train.device
        # modules of others may call `view` on activations, which needs them contiguous
        self._channels_last = not net.is_traced and any(
            isinstance(module, nn.Conv2d) for module in net.modules()
        )
        self._is_random = any(net.is_random)
        if self._is_random:
            self._recorder = recorder.refuse("the net draws random numbers in each step")
        self._net = net.to(device)
        if self._channels_last:
            self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        scale_output(self._net, spec.output_scale)
        self._frozen: FrozenEntries | None = None
        if movable is not None:
            assert schedule is None, "masked training trains all layers"
            named = dict(self._net.named_parameters())
            masks = [movable[name] for name in named]
            self._frozen = FrozenEntries(list(named.values()), masks)
        self._x_train, self._x_test = self._laid_out(data.x_train), self._laid_out(data.x_test)
        self._optimizer = build_optimizer(
            spec.optimizer,
            self._net,
            capturable=self._recorder.keeps_memory,
            by_layer=self._periods is not None and bool(self._periods.ends),
        )
        plain = spec.loss == CrossEntropySpec() and spec.output_scale is None
        self._objective = None if plain else build_objective(spec.loss, spec.output_scale)
        self._order_seed = spec.order_seeds([seed])[0] if order is None else order
        self._layer_seed = seed if order is None else order
        self._bounds = batch_bounds(len(data.y_train), spec.batch_size)
        self._buffers = BatchBuffers(
            self._x_train, data.y_train, max(stop - start for start, stop in self._bounds)
        )
        self._autocasts = spec.precision(execution) == "bf16"
        self._arithmetic: Callable[[], AbstractContextManager[Any]] = (
            partial(torch.autocast, device.type, dtype=torch.bfloat16)
            if self._autocasts
            else nullcontext
        )
        self._names = {parameter: name for name, parameter in self._net.named_parameters()}
        self._trained: list[nn.Parameter] = []
        self._layers: frozenset[int] | None = None
        self._frozen_batch = min(spec.batch_size, len(data.y_train))
        self._prefix: FrozenPrefix | None = None
        if schedule is not None and execution.prefix_cache and spec.output_scale is None:
            self._prefix = build_prefix(spec, data, schedule, self._count_stable_layers)
        self._totals = EpochTotals(device)
        self._train_steps: OrderedDict[tuple[frozenset[int] | None, int], TrainStep] = OrderedDict()
        """By the layers that train and the number of examples of a batch"""
        self._order = torch.empty(0)
        self._draws: CropFlips | None = None
        self._epoch = 0
        self._rate: float | list[float] | None = None
        self._lowest = 0
        self._stopwatch = Stopwatch(device)

    @property
    def seeds(self) -> tuple[int, ...]:
        return (self._seed,)

    @property
    def num_steps(self) -> int:
        return len(self._bounds)

    @property
    def stopwatch(self) -> Stopwatch:
        return self._stopwatch

    @property
    def notes(self) -> tuple[str, ...]:
        prefix_notes = self._prefix.notes if self._prefix else ()
        return (*self._notes, *prefix_notes, *self._recorder.notes)

    def begin_epoch(self, epoch: int, trained: frozenset[int] | None) -> None:
        count, device = len(self._data.y_train), self._data.x_train.device
        self._epoch = epoch
        self._order = epoch_order(self._order_seed, epoch - 1, count).to(device)
        if self._spec.data.augmentation == "crop_flip":
            self._draws = draw_crop_flips(self._order_seed, epoch - 1, count).to(device)
        self._freeze_all_but(trained)
        if self._prefix is not None:
            self._prefix.begin_epoch(epoch - 1)

    def _freeze_all_but(self, trained: frozenset[int] | None) -> None:
        is_scaled = self._net.output_scale is not None  # by the output at the start, of images
        self._lowest = 0 if trained is None or is_scaled else min(trained)
        self._layers = trained
        self._trained = []
        for index in range(len(self._net.layers)):
            trains = trained is None or index in trained
            for parameter in self._net.parameters_of_layer(index):
                chosen = trains and (self._only is None or self._names[parameter] in self._only)
                parameter.requires_grad_(chosen)
                parameter.grad = None  # without a gradient the optimiser skips a frozen layer
                if chosen:
                    self._trained.append(parameter)
        self._set_modes()

    def _set_modes(self) -> None:
        """Let all layers run as in training, or those that are frozen as in evaluation."""
        self._net.train()
        if self._frozen_in_eval and self._layers is not None:
            for index, layer in enumerate(self._net.layers):
                layer.train(index in self._layers)

    def train_step(self, step: int) -> None:
        watch = self._stopwatch
        watch.start()
        if self._periods is not None:
            trained = self._periods.at(self._epoch - 1, step)
            if trained != self._layers:
                self._freeze_all_but(trained)
        self._set_learning_rate(step)
        start, stop = self._bounds[step]
        indices = self._order[start:stop]
        level, x, y = self._load(indices, start)
        watch.lap("load")
        if self._is_random:  # dropout and the like draw from torch's own generator
            torch.manual_seed(derive_seed(self._layer_seed, "layers", self._epoch, step))
        with self._arithmetic():
            x = self._run_frozen_layers(level, x, indices)
        self._get_train_step(len(y)).run(x, y, watch)
        self._totals.seen += len(y)

    def _set_learning_rate(self, step: int) -> None:
        """Set that of a step of the epoch; a tensor on a GPU is written only if it changes."""
        done, periods = (self._epoch - 1) * self.num_steps + step, self._periods
        rate: float | list[float]
        if periods is not None and periods.ends:
            rate = [
                self._rate_until(end, done) * scale if done < end else 0.0
                for end, scale in zip(periods.ends, periods.scales, strict=True)
            ]
        else:
            rate = self._rate_until(self._spec.epochs * self.num_steps, done)
        if rate != self._rate:
            set_learning_rate(self._optimizer, rate)
            self._rate = rate

    def _rate_until(self, total: int, step: int) -> float:
        """The learning rate of a step of the training, if it had `total` steps."""
        return learning_rate(
            self._spec.optimizer,
            self._spec.schedule,
            step,
            steps_per_epoch=self.num_steps,
            total_steps=total,
        )

    def _get_train_step(self, count: int) -> TrainStep:
        key = (self._layers, count)
        if key not in self._train_steps:
            self._train_steps[key] = TrainStep(
                self._trained,
                self._build_loss(),
                self._optimizer,
                self._totals,
                self._recorder,
                self._spec.clip_norm,
                self._frozen,
            )
            if len(self._train_steps) > MAX_TRAIN_STEPS:
                self._train_steps.popitem(last=False)
        self._train_steps.move_to_end(key)
        return self._train_steps[key]

    def _build_loss(self) -> ComputeLoss:
        """The loss of a batch at the lowest trained layer; gradients stop there."""
        net, lowest, objective = self._net, self._lowest, self._objective
        if objective is None and not self._autocasts:
            linear_parts = find_linear_parts(net, lowest)
            if linear_parts is not None:
                return partial(LinearLoss, linear_parts)

        arithmetic = self._arithmetic  # not this learner, which would never be freed

        def compute(x: Tensor, y: Tensor) -> Loss:
            with arithmetic():
                return AutogradLoss(net, lowest, x, y, objective)

        return compute

    def _load(self, indices: Tensor, position: int) -> tuple[int, Tensor, Tensor]:
        """(level, the batch's activations there, its labels): cached, else the images."""
        kept = self._prefix.train_input(indices) if self._prefix else None
        if kept is not None:
            return *kept, self._data.y_train.index_select(0, indices)
        x, y = self._buffers.gather(indices)
        if self._draws is not None:
            x = self._laid_out(crop_flip(x, self._draws, position, self._data.black))
        return 0, x, y

    @torch.no_grad()
    def _run_frozen_layers(self, level: int, x: Tensor, indices: Tensor) -> Tensor:
        """Run the layers from `level` to the lowest trained one.

        The cache stores the activations of the levels that it keeps.
        """
        for layer in range(level, self._lowest):
            x = self._run_frozen_layer(layer, x)
            if self._prefix is not None and self._prefix.keeps_train(layer + 1):
                self._stopwatch.lap("forward")
                self._prefix.keep_train(layer + 1, indices, x)
                self._stopwatch.lap("cache")
        return x

    def _run_frozen_layer(self, index: int, x: Tensor) -> Tensor:
        """Run a frozen layer in batches of one size; the last is padded with its own rows.

        Kernels are chosen by size, so a row then has the same bits in every batch and can be
        cached.
        """
        size = self._frozen_batch
        if len(x) == size or self._depends_on_the_batch(index):
            return self._net.forward(x, index, index + 1)
        rows = torch.arange(-(-len(x) // size) * size, device=x.device) % len(x)
        filled = select_rows(x, rows)
        pieces = [self._net.forward(piece, index, index + 1) for piece in torch.split(filled, size)]
        return join_rows(pieces)[: len(x)]

    def _depends_on_the_batch(self, index: int) -> bool:
        """Whether other rows, or how many there are, change what the layer computes of a row."""
        net = self._net
        return net.layers[index].training and (
            net.normalises_by_batch[index] or net.is_random[index]
        )

    def _count_stable_layers(self) -> int:
        with self._arithmetic():
            return count_stable_layers(
                self._net, self._x_train[: self._frozen_batch], {self._frozen_batch}
            )

    def end_epoch(self) -> Sequence[EpochStatistics]:
        totals = self._totals
        seen = max(int(totals.seen), 1)
        statistics = EpochStatistics(totals.losses.item() / seen, totals.correct.item() / seen)
        for accumulator in totals.tensors().values():
            accumulator.zero_()
        return [statistics]

    @torch.no_grad()
    def evaluate(self) -> Sequence[Evaluation]:
        watch = self._stopwatch
        watch.start()
        self._net.eval()
        labels = self._data.y_test
        losses = torch.zeros((), dtype=torch.float64, device=labels.device)
        correct = torch.zeros((), dtype=torch.int64, device=labels.device)
        for start, stop in batch_bounds(len(labels), EVALUATION_BATCH):
            with self._arithmetic():
                logits = self._test_logits(start, stop).float()
            losses += functional.cross_entropy(logits, labels[start:stop], reduction="sum")
            correct += (logits.argmax(dim=1) == labels[start:stop]).sum()
        self._set_modes()
        watch.lap("evaluation")
        return [Evaluation(correct.item() / len(labels), losses.item() / len(labels))]

    def _test_logits(self, start: int, stop: int) -> Tensor:
        prefix = self._prefix
        if prefix is None:
            outputs: Tensor = self._net(self._x_test[start:stop])
            return outputs
        kept = prefix.test_input(start, stop)
        level, x = (0, self._x_test[start:stop]) if kept is None else kept
        for layer in range(level, len(self._net.layers)):
            x = self._net(x, layer, layer + 1)
            if prefix.keeps_test(layer + 1):
                prefix.keep_test(layer + 1, start, stop, x)
        return x

    def parameters(self, index: int) -> dict[str, Tensor]:
        assert index == 0
        return {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in self._net.state_dict().items()
        }

    def full_gradient(self, index: int) -> Tensor:
        """See `Learner`. Batch normalisation uses its running statistics, as there is no batch."""
        assert index == 0
        parameters = list(self._net.parameters())
        required = [parameter.requires_grad for parameter in parameters]
        for parameter in parameters:
            parameter.requires_grad_(True)
        self._net.eval()
        count = len(self._data.y_train)
        total: list[Tensor] = [torch.zeros_like(parameter) for parameter in parameters]
        for start, stop in batch_bounds(count, 500):
            logits, labels = self._net(self._x_train[start:stop]), self._data.y_train[start:stop]
            if self._objective is None:
                loss = functional.cross_entropy(logits, labels, reduction="sum") / count
            else:
                loss = self._objective(logits, labels) * (len(labels) / count)
            torch._foreach_add_(total, list(torch.autograd.grad(loss, parameters)))
        self._set_modes()
        for parameter, was in zip(parameters, required, strict=True):
            parameter.requires_grad_(was)
        return torch.cat([gradient.contiguous().reshape(-1) for gradient in total])

    def batch_gradient(self, index: int) -> Tensor:
        assert index == 0
        return torch.cat(
            [
                (torch.zeros_like(p) if p.grad is None else p.grad)
                .detach()
                .contiguous()
                .reshape(-1)
                for p in self._net.parameters()
            ]
        )

    def capture(self) -> dict[str, Tensor]:
        tensors = {f"net.{name}": tensor for name, tensor in self._net.state_dict().items()}
        for position, parameter in enumerate(self._net.parameters()):
            for name, value in self._optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{position}.{name}"] = value
        tensors |= self._totals.tensors()
        if self._frozen is not None:
            tensors |= self._frozen.capture()
        return {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in tensors.items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self._net.state_dict().items():
                tensor.copy_(tensors[f"net.{name}"])
        parameters = list(self._net.parameters())
        self._optimizer.state.clear()
        for name, value in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                position, _, entry = rest.partition(".")
                parameter = parameters[int(position)]
                self._optimizer.state[parameter][entry] = self._like(parameter, value)
        for name, accumulator in self._totals.tensors().items():
            accumulator.copy_(tensors[name])
        if self._frozen is not None:
            self._frozen.resume(tensors)
        self._train_steps.clear()  # recorded steps hold the old tensors

    @staticmethod
    def _like(parameter: nn.Parameter, value: Tensor) -> Tensor:
        """Copy to the parameter's device; moments take its memory format, as in the optimiser."""
        if value.shape != parameter.shape:
            return value.to(parameter.device, copy=True)
        moment = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return moment.detach().copy_(value)

    def _laid_out(self, x: AnyExamples) -> AnyExamples:
        return (
            x.contiguous(memory_format=torch.channels_last)
            if self._channels_last and x.dim() == 4
            else x
        )
