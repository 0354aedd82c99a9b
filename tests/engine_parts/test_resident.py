"""Data sets on the device and their cache."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np

from engine.context import RunContext
from engine.data.resident import DataCache, ResidentData, default_cache, resident_data, to_device
from engine.data.spec import CorruptionSpec, DataSpec
from tests.engine_parts.datasets import load


def test_the_cache_keeps_the_most_recently_used_data_within_its_bytes() -> None:
    loads: list[str] = []

    def resident(name: str, seed: int) -> ResidentData:
        loads.append(name)
        return to_device(
            load(DataSpec(name="synthetic", train_size=20, test_size=10, seed=seed)), "cpu"
        )

    size = resident("measure", 0).num_bytes
    loads.clear()
    cache = DataCache(max_bytes=2 * size)
    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(name, lambda name=name: resident(name, 0))  # type: ignore[misc]
    assert loads == ["a", "b", "c", "b"]
    assert cache.num_bytes <= 2 * size
    tight = DataCache(max_bytes=size - 1)
    assert tight.get("a", lambda: resident("a", 0)).num_bytes == size
    assert tight.num_bytes == 0
    cache.clear()
    assert cache.num_bytes == 0


def test_black_is_a_zero_pixel_after_normalisation() -> None:
    data = load(DataSpec(train_size=100))
    resident = to_device(data, "cpu")
    # the two formulas round differently
    assert abs(resident.black.item() - data.x_train[:].min().item()) < 1e-6


def test_data_is_read_once_and_again_when_its_file_changes(tmp_path: Path) -> None:
    x, y = np.arange(100, dtype=np.uint8).reshape(4, 5, 5), np.array([0, 1, 0, 1])
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    ctx = cast(
        RunContext,
        SimpleNamespace(
            data_dir=tmp_path, allow_download=False, registered_dataset=lambda name: None
        ),
    )
    cache = DataCache()
    spec = DataSpec(name="mine")
    first = resident_data(spec, "cpu", ctx, cache)
    assert resident_data(spec, "cpu", ctx, cache) is first
    assert (
        resident_data(DataSpec(name="mine", augmentation="crop_flip"), "cpu", ctx, cache) is first
    )
    for other in (
        DataSpec(name="mine", train_size=2),
        DataSpec(name="mine", normalization="unit"),
        DataSpec(name="mine", corruption=CorruptionSpec(permuted_labels=True)),
    ):
        assert resident_data(other, "cpu", ctx, cache) is not first
    np.savez(path, x_train=x[::-1], y_train=y, x_test=x, y_test=y)
    os.utime(path, ns=(1, 1))
    assert resident_data(spec, "cpu", ctx, cache).sha256 != first.sha256
    assert default_cache() is default_cache()
