"""The frozen-prefix cache: constant activations below the trained layers, kept instead of computed again.

Which levels are kept is `prefix_plan`'s; here they are filled, read and dropped. A level is the input of a layer, so
level 0 is the images. Final weights are bit for bit those of a training without the cache: frozen layers run in batches
of one size, cached or not, and only layers that then give a row the same bits in every batch are kept. Resume needs no
state: an empty cache is filled again by the next whole epoch.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor

from engine.data.resident import ResidentData
from engine.models.layout import layout
from engine.spec import ExperimentSpec
from engine.training.policies import EpochSchedule
from engine.training.prefix_plan import PrefixPlan, plan_prefix


def build_prefix(
    spec: ExperimentSpec,
    data: ResidentData,
    schedule: EpochSchedule,
    count_stable_layers: Callable[[], int],
    budget_bytes: int | None = None,
) -> FrozenPrefix:
    """An empty cache for one seed's training.

    count_stable_layers: how many layers from the bottom give a train row the same bits wherever it stands in a batch;
    only called where that matters. budget_bytes: None takes `default_budget`.
    """
    layers = layout(spec.model, data.info)
    plan = plan_prefix(
        schedule,
        layers,
        train_size=len(data.y_train),
        test_size=len(data.y_test),
        budget_bytes=default_budget(data.x_train.device) if budget_bytes is None else budget_bytes,
        augmented=spec.data.augmentation != "none",
        batch_norm=any(layer.buffers for layer in layers),
        count_stable_layers=count_stable_layers,
    )
    return FrozenPrefix(plan, len(data.y_train), len(data.y_test))


def default_budget(device: torch.device) -> int:
    """Bytes the cache may take: a quarter of the machine's memory, or half of what the GPU has free."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free // 2
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


class FrozenPrefix:
    """Kept levels of one seed's train and test set. Epochs count from 0; -1 is the initialisation.

    A pass (an epoch over the train set, an evaluation over the test set) asks for each batch's input, and offers the
    activations it computes on the way where `keeps_train` or `keeps_test` says so. A level is read only once a whole
    pass has offered every row, so a pass that was cut short leaves nothing wrong behind.
    """

    def __init__(self, plan: PrefixPlan, train_size: int, test_size: int) -> None:
        self._plan = plan
        self._train = _KeptLevels(train_size, plan.find_needed("train"))
        self._test = _KeptLevels(test_size, plan.find_needed("test"))

    @property
    def notes(self) -> tuple[str, ...]:
        """Why the cache is not used, or only in part."""
        return self._plan.notes

    def begin_epoch(self, epoch: int) -> None:
        """Before an epoch's first step: what lies above the lowest layer it trains is forgotten."""
        lowest = self._plan.schedule.lowest(epoch)
        self._train.begin(epoch, lowest)
        self._test.begin(epoch, lowest)

    def train_input(self, indices: Tensor) -> tuple[int, Tensor] | None:
        """(level, its activations [b, ...], valid until the next call) of train examples, or None: take the images.

        The level is never above the lowest trained layer.
        """
        return self._train.gather(indices)

    def keeps_train(self, level: int) -> bool:
        """Whether the activations at `level` of this epoch's batches are to be offered."""
        return self._train.keeps(level)

    def keep_train(self, level: int, indices: Tensor, activations: Tensor) -> None:
        """Keep the activations of the train examples at `indices`: each example once an epoch."""
        self._train.store(level, indices, activations)

    def test_input(self, start: int, stop: int) -> tuple[int, Tensor] | None:
        """(level, its activations) of test examples start to stop, or None: take the images."""
        return self._test.slice(start, stop)

    def keeps_test(self, level: int) -> bool:
        return self._test.keeps(level)

    def keep_test(self, level: int, start: int, stop: int, activations: Tensor) -> None:
        """Keep the activations of test examples start to stop: each example once an evaluation."""
        indices = torch.arange(start, stop, device=activations.device)
        self._test.store(level, indices, activations)


class _KeptLevels:
    """The kept levels of one set of images."""

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
                del self._rows[level]  # nothing reads it any more: give its memory back
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
    """Activations of every row at one level, in the memory layout in which the net computes them."""

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
        assert self.num_stored + len(indices) <= len(self._kept), "each row once a pass"
        flat = activations.as_strided((len(indices), self._size), (self._size, 1))
        self._kept.index_copy_(0, indices, flat)
        self.num_stored += len(indices)

    def gather(self, indices: Tensor) -> Tensor:
        batch = self._reserve_batch(len(indices))
        return self._shaped(torch.index_select(self._kept, 0, indices, out=batch))

    def slice(self, start: int, stop: int) -> Tensor:
        """A copy: rows further down in memory may be aligned otherwise, which changes kernels and with them bits."""
        return self._shaped(self._reserve_batch(stop - start).copy_(self._kept[start:stop]))

    def _reserve_batch(self, count: int) -> Tensor:
        if len(self._batch) < count:
            self._batch = self._kept.new_empty((count, self._size))
        return self._batch[:count]

    def _shaped(self, flat: Tensor) -> Tensor:
        return flat.as_strided((len(flat), *self._shape), (self._size, *self._strides))
