"""The frozen-prefix cache: constant activations below the trained layers, kept instead of computed again.

Which levels are kept is `prefix_plan`'s; here they are filled, read and dropped. A level is the input of a layer.
Final weights are bit for bit those of a training without the cache: a row's activations do not depend on the batch it
is computed in, as no batch of one is ever run (on a GPU: where batches have equal shapes). Resume needs no state: an
empty cache is filled again by the next whole epoch.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor

from engine.models.net import LayeredNet
from engine.timing import Stopwatch
from engine.training.policies import EpochSchedule
from engine.training.prefix_plan import Part, PrefixPlan


class FrozenPrefix:
    """Kept levels of one seed's train and test set.

    Call `begin_epoch` before an epoch's first step and `end_epoch` after its last, `begin_evaluation` and
    `end_evaluation` around a pass over the test set. In between, `load` gives a batch at `start` and `forward_frozen`
    brings it to the lowest trained layer, keeping on its way what later epochs read.
    """

    def __init__(self, net: LayeredNet, plan: PrefixPlan, x_train: Tensor, x_test: Tensor) -> None:
        """x_train, x_test: images [n, channels, height, width] on the device of the net."""
        self._net = net
        self._schedule: EpochSchedule = plan.schedule
        self._sets = {
            "train": _KeptSet(x_train, plan.train_levels, plan.find_needed("train")),
            "test": _KeptSet(x_test, plan.test_levels, plan.find_needed("test")),
        }

    def begin_epoch(self, epoch: int, *, whole: bool = True) -> int:
        """The level at which this epoch's batches are loaded. whole: every image is still to come, as a level that
        misses some is of no use."""
        return self._sets["train"].begin(epoch, self._schedule.lowest(epoch), fill=whole)

    def end_epoch(self, epoch: int) -> None:
        """The layers trained in this epoch have moved: what lies above the lowest of them is forgotten."""
        self._sets["train"].end(epoch)
        for kept in self._sets.values():
            kept.forget_above(self._schedule.lowest(epoch))
        self._sets["train"].drop_unneeded(epoch)

    def begin_evaluation(self, epoch: int) -> int:
        """The level at which the evaluation after this epoch loads test images; epoch -1 is the initialisation."""
        return self._sets["test"].begin(epoch, self._schedule.num_layers, fill=True)

    def end_evaluation(self, epoch: int) -> None:
        self._sets["test"].end(epoch)
        self._sets["test"].drop_unneeded(epoch)

    def load(self, part: Part, indices: Tensor) -> Tensor:
        """Rows `indices` of the train or test set at the level where the pass starts."""
        return self._sets[part].load(indices)

    def load_rows(self, part: Part, begin: int, end: int) -> Tensor:
        """Rows begin to end at the level where the pass starts: a view."""
        return self._sets[part].source[begin:end]

    @torch.no_grad()
    def forward_frozen(
        self, part: Part, h: Tensor, indices: Tensor, stop: int, stopwatch: Stopwatch
    ) -> Tensor:
        """From the pass's start to the input of layer `stop`, keeping the levels on the way that are read later.

        h: what `load` gave for `indices`. Writing to the cache is `cache_seconds`, computing is the forward pass.
        """
        kept = self._sets[part]
        level = kept.start
        for target in kept.filling:
            if target > stop:
                break
            h = self._net(h, level, target)
            level = target
            stopwatch.lap("forward")
            kept.store(target, indices, h)
            stopwatch.lap("cache")
        return h if level == stop else self._net(h, level, stop)


class _KeptSet:
    """The kept levels of one set of images."""

    def __init__(self, images: Tensor, levels: frozenset[int], needed: tuple[frozenset[int], ...]) -> None:
        self._images = images
        self._levels = levels
        self._needed = needed
        self._last_needed = {level: index for index, some in enumerate(needed) for level in some}
        self._rows: dict[int, Tensor] = {}
        self._batches: dict[int, Tensor] = {}
        self._complete: set[int] = set()
        self.start = 0
        self.filling: tuple[int, ...] = ()

    @property
    def source(self) -> Tensor:
        return self._rows[self.start] if self.start else self._images

    def begin(self, epoch: int, stop: int, *, fill: bool) -> int:
        self.start = max((level for level in self._complete if level <= stop), default=0)
        wanted = self._needed[epoch + 1] - self._complete if fill else frozenset()
        self.filling = tuple(sorted(level for level in wanted if self.start < level <= stop))
        return self.start

    def end(self, epoch: int) -> None:
        self._complete.update(self.filling)
        self.filling = ()

    def forget_above(self, lowest: int) -> None:
        self._complete = {level for level in self._complete if level <= lowest}

    def drop_unneeded(self, epoch: int) -> None:
        self._complete &= self._needed[epoch + 1]
        for level in [level for level in self._rows if self._last_needed[level] <= epoch]:
            del self._rows[level]

    def load(self, indices: Tensor) -> Tensor:
        source, count = self.source, len(indices)
        batch = self._batches.get(self.start)
        if batch is None or len(batch) < count:
            batch = source.new_empty((count, *source.shape[1:]))
            self._batches[self.start] = batch
        return torch.index_select(source, 0, indices, out=batch[:count])

    def store(self, level: int, indices: Tensor, h: Tensor) -> None:
        rows = self._rows.get(level)
        if rows is None:
            rows = h.new_empty((len(self._images), *h.shape[1:]))
            self._rows[level] = rows
        rows.index_copy_(0, indices, h)


def default_budget(device: torch.device) -> int:
    """Bytes the cache may take: a quarter of the machine's memory, or half of what the GPU has free."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free // 2
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
