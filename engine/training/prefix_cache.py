"""The frozen-prefix cache: stores constant activations below the trained layers.

`prefix_plan` decides which levels are kept; here they are filled, read and dropped. A level is the
input of a layer; level 0 is the images. Final weights are bit-equal to those of a training without
the cache: frozen layers always run in batches of one size, and only layers that then give a row the
same bits in every batch are cached. Resume needs no state: the next whole epoch fills an empty
cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor

from engine.data.resident import ResidentData
from engine.models.layout import layout
from engine.models.rows import flatten_rows, shape_rows
from engine.spec import ExperimentSpec
from engine.training.layer_schedule import LayerSchedule
from engine.training.prefix_plan import PrefixPlan, plan_prefix


def build_prefix(
    spec: ExperimentSpec,
    data: ResidentData,
    schedule: LayerSchedule,
    count_stable_layers: Callable[[], int],
    budget_bytes: int | None = None,
) -> FrozenPrefix:
    """An empty cache for one seed's training.

    count_stable_layers: returns how many layers from the bottom give a train row the same bits at
    any place in a batch; called only if the plan depends on it. budget_bytes: None means
    `default_budget`.
    """
    layers = layout(spec.model, data.info)
    plan = plan_prefix(
        schedule,
        layers,
        train_size=len(data.y_train),
        test_size=len(data.y_test),
        budget_bytes=default_budget(data.x_train.device) if budget_bytes is None else budget_bytes,
        augmented=spec.data.augmentation != "none",
        frozen_in_eval=schedule.frozen_in_eval,
        count_stable_layers=count_stable_layers,
    )
    return FrozenPrefix(plan, len(data.y_train), len(data.y_test))


def default_budget(device: torch.device) -> int:
    """Bytes for the cache: a quarter of the machine's memory, or half of the GPU's free memory."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free // 2
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


class FrozenPrefix:
    """The cached levels of one seed's train and test set. Epochs count from 0; -1 is
    initialisation.

    A pass (an epoch over the train set, an evaluation over the test set) reads each batch's input,
    and stores the activations that it computes if `keeps_train` or `keeps_test` is true. A level is
    read only after a whole pass has stored every row, so an interrupted pass leaves no wrong data.
    """

    def __init__(self, plan: PrefixPlan, train_size: int, test_size: int) -> None:
        self._plan = plan
        self._train = _KeptLevels(train_size, plan.find_needed("train"))
        self._test = _KeptLevels(test_size, plan.find_needed("test"))

    @property
    def notes(self) -> tuple[str, ...]:
        """Why the cache is not used, or only partly."""
        return self._plan.notes

    def begin_epoch(self, epoch: int) -> None:
        """Drop the levels above the epoch's lowest trained layer; call before its first step."""
        lowest = self._plan.schedule.lowest(epoch)
        self._train.begin(epoch, lowest)
        self._test.begin(epoch, lowest)

    def train_input(self, indices: Tensor) -> tuple[int, Tensor] | None:
        """(level, its activations [b, ...]) of train examples; None means: use the images.

        The level is never above the lowest trained layer. The activations are valid until the next
        call.
        """
        return self._train.gather(indices)

    def keeps_train(self, level: int) -> bool:
        """Whether to store the activations at `level` of this epoch's batches."""
        return self._train.keeps(level)

    def keep_train(self, level: int, indices: Tensor, activations: Tensor) -> None:
        """Store the activations of the train examples at `indices`: each example once per epoch."""
        self._train.store(level, indices, activations)

    def test_input(self, start: int, stop: int) -> tuple[int, Tensor] | None:
        """(level, its activations) of test examples start to stop; None means: use the images."""
        return self._test.slice(start, stop)

    def keeps_test(self, level: int) -> bool:
        return self._test.keeps(level)

    def keep_test(self, level: int, start: int, stop: int, activations: Tensor) -> None:
        """Store the activations of test examples start to stop: each once per evaluation."""
        indices = torch.arange(start, stop, device=activations.device)
        self._test.store(level, indices, activations)


class _KeptLevels:
    """The cached levels of the train set or the test set."""

    def __init__(self, num_rows: int, needed: tuple[frozenset[int], ...]) -> None:
        """needed: see `PrefixPlan.find_needed`."""
        self._num_rows = num_rows
        self._needed = needed
        self._last_needed = {
            level: index for index, levels in enumerate(needed) for level in levels
        }
        self._now = 0
        self._rows: dict[int, _Rows] = {}

    def begin(self, epoch: int, lowest: int) -> None:
        self._now = epoch + 1
        for level, rows in list(self._rows.items()):
            if self._last_needed[level] < epoch:
                del self._rows[level]  # never read again: free its memory
            elif level > lowest or rows.num_stored < self._num_rows:
                rows.num_stored = 0

    def _level(self) -> int:
        complete = (
            level for level, rows in self._rows.items() if rows.num_stored == self._num_rows
        )
        return max(complete, default=0)

    def gather(self, indices: Tensor) -> tuple[int, Tensor] | None:
        level = self._level()
        return (level, self._rows[level].gather(indices)) if level else None

    def slice(self, start: int, stop: int) -> tuple[int, Tensor] | None:
        level = self._level()
        return (level, self._rows[level].slice(start, stop)) if level else None

    def keeps(self, level: int) -> bool:
        return level in self._needed[self._now] and (
            level not in self._rows or self._rows[level].num_stored < self._num_rows
        )

    def store(self, level: int, indices: Tensor, activations: Tensor) -> None:
        if level not in self._rows:
            self._rows[level] = _Rows(self._num_rows, activations)
        self._rows[level].store(indices, activations)


class _Rows:
    """Activations of all rows at one level, in the memory layout of the net's output."""

    def __init__(self, num_rows: int, like: Tensor) -> None:
        self._shape, self._strides = like.shape[1:], like.stride()[1:]
        self._size = like[0].numel()
        self._kept = like.new_empty((num_rows, self._size))
        self._batch = like.new_empty((0, self._size))
        self.num_stored = 0

    def store(self, indices: Tensor, activations: Tensor) -> None:
        assert all(
            ours == given or size == 1
            for ours, given, size in zip(
                (self._size, *self._strides), activations.stride(), activations.shape, strict=True
            )
        ), "a level has one memory layout"
        assert self.num_stored + len(indices) <= len(self._kept), "each row once per pass"
        self._kept.index_copy_(0, indices, flatten_rows(activations))
        self.num_stored += len(indices)

    def gather(self, indices: Tensor) -> Tensor:
        batch = self._reserve_batch(len(indices))
        return self._shaped(torch.index_select(self._kept, 0, indices, out=batch))

    def slice(self, start: int, stop: int) -> Tensor:
        """A copy: rows at another alignment in memory can use other kernels and give other bits."""
        return self._shaped(self._reserve_batch(stop - start).copy_(self._kept[start:stop]))

    def _reserve_batch(self, count: int) -> Tensor:
        if len(self._batch) < count:
            self._batch = self._kept.new_empty((count, self._size))
        return self._batch[:count]

    def _shaped(self, flat: Tensor) -> Tensor:
        return shape_rows(flat, self._shape, self._strides)
