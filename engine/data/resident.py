"""Data sets on the device, cached from one run to the next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from threading import Lock

import torch
from torch import Tensor

from engine.context import RunContext
from engine.data.batches import BatchBuffers, epoch_order
from engine.data.bounds import batch_bounds, largest_batch
from engine.data.load import Dataset, load_dataset
from engine.data.npz import find_npz
from engine.data.spec import BUILTIN_DATASETS, DatasetInfo, DataSpec
from engine.data.streamed import Examples

DEFAULT_CACHE_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class ResidentData:
    """A data set on its device. Runs share it, so it is never changed in place."""

    info: DatasetInfo
    x_train: Examples
    """float32 [n, channels, height, width] or [n, features], normalised; streamed from the host
    where they take more than `RESIDENT_BYTES`"""
    y_train: Tensor
    """int64 [n]"""
    x_test: Examples
    y_test: Tensor
    black: Tensor
    """float32 [channels] or [features]: a value of 0, a black pixel, after normalisation"""
    sha256: str

    @property
    def num_bytes(self) -> int:
        """Bytes of the tensors on the device, and of streamed examples on the host."""
        return sum(part.nbytes for part in (self.x_train, self.y_train, self.x_test, self.y_test))


class DataCache:
    """The most recently used data sets, up to a number of bytes; thread-safe."""

    def __init__(self, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, ResidentData] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, load: Callable[[], ResidentData]) -> ResidentData:
        """The data set cached under `key`, else the result of `load`, cached if it fits."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            data = load()
            if data.num_bytes <= self._max_bytes:
                self._kept[key] = data
                while self.num_bytes > self._max_bytes:
                    self._kept.popitem(last=False)
            return data

    def clear(self) -> None:
        """Empty the cache; memory is freed once no run uses it."""
        with self._lock:
            self._kept.clear()

    @property
    def num_bytes(self) -> int:
        return sum(data.num_bytes for data in self._kept.values())


@cache
def default_cache() -> DataCache:
    """The cache of this process."""
    return DataCache()


def resident_data(
    spec: DataSpec, device: torch.device | str, ctx: RunContext, cache: DataCache | None = None
) -> ResidentData:
    """The data of `spec` on `device`, read from disk only if `cache` does not hold it.

    Raises the errors of `load_dataset`.
    """

    def load() -> ResidentData:
        dataset = load_dataset(
            spec,
            data_dir=ctx.data_dir,
            allow_download=ctx.allow_download,
            registered=ctx.registered_dataset,
        )
        return to_device(dataset, device)

    return (cache or default_cache()).get(_cache_key(spec, device, ctx), load)


def to_device(dataset: Dataset, device: torch.device | str) -> ResidentData:
    """Move the data set to `device`; on the CPU the result shares its memory."""
    black = torch.tensor([-mean / std for mean, std in zip(dataset.mean, dataset.std, strict=True)])
    return ResidentData(
        info=dataset.info,
        x_train=dataset.x_train.to(device),
        y_train=dataset.y_train.to(device),
        x_test=dataset.x_test.to(device),
        y_test=dataset.y_test.to(device),
        black=black.to(device),
        sha256=dataset.sha256,
    )


def _cache_key(spec: DataSpec, device: torch.device | str, ctx: RunContext) -> Hashable:
    """The fields that decide the data, without augmentation; a rewritten file gives another key."""
    fields = (
        *(spec.name, spec.train_size, spec.test_size, spec.seed, spec.normalization),
        *(spec.corruption, str(device), str(ctx.data_dir)),
    )
    path = (
        None
        if spec.name in BUILTIN_DATASETS
        else find_npz(spec.name, ctx.data_dir, ctx.registered_dataset)
    )
    if path is None:
        return fields
    status = path.stat()
    return (*fields, str(path), status.st_mtime_ns, status.st_size)


__all__ = [
    "BatchBuffers",
    "DataCache",
    "ResidentData",
    "batch_bounds",
    "default_cache",
    "epoch_order",
    "largest_batch",
    "resident_data",
    "to_device",
]
