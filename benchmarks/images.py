"""Images for the baselines, and generated ones of CIFAR-10's shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines.user_script import Images
from benchmarks.options import Options
from engine.data.load import balanced_subset
from engine.data.sources import find_raw
from engine.data.spec import DataSpec


def user_images(options: Options) -> Images:
    """The digits of `options` as uint8 images, as a user's script has them."""
    spec = DataSpec.model_validate(options.digits())
    raw = find_raw(spec, options.data_dir or options.work_dir, False, lambda name: None)
    chosen = balanced_subset(raw.y_train, 10, spec.train_size or len(raw.y_train), 0, "train")
    stop = spec.test_size or len(raw.y_test)
    return Images(
        raw.x_train[chosen][:, 0], raw.y_train[chosen], raw.x_test[:stop, 0], raw.y_test[:stop]
    )


def write_colour_images(path: Path, num_train: int, num_test: int) -> Path:
    """Write a data set file of CIFAR-10's shape: noise around one image per class."""
    generator = np.random.default_rng(0)
    centres = generator.integers(64, 192, size=(10, 32, 32, 3))
    arrays: dict[str, NDArray[Any]] = {}
    for split, count in (("train", num_train), ("test", num_test)):
        labels = np.arange(count) % 10
        noise = generator.normal(0, 40, size=(count, 32, 32, 3))
        arrays[f"x_{split}"] = np.clip(centres[labels] + noise, 0, 255).astype(np.uint8)
        arrays[f"y_{split}"] = labels
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path
