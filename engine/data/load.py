"""Load a data set: the requested subset, normalised, with its digest (paper, Section 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from engine.data.corruption import corrupt_labels, shuffle_pixels
from engine.data.npz import Array
from engine.data.sources import RawData, find_raw
from engine.data.spec import (
    DatasetInfo,
    DataSpec,
    is_streamed,
    max_balanced_size,
    subset_too_large,
)
from engine.data.streamed import Examples, StreamedExamples, normalise
from engine.determinism import make_generator
from engine.errors import InvalidSpec

_ROWS_AT_ONCE = 1024
"""Moments are sums over so many examples at a time, whether or not the data is in memory."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples and labels on the CPU."""

    info: DatasetInfo
    """With the sizes and class counts of the chosen subsets."""
    x_train: Examples
    """float32 [n, channels, height, width] or [n, features], normalised"""
    y_train: Tensor
    """int64 [n]"""
    x_test: Examples
    y_test: Tensor
    sha256: str
    """Of the bytes of the examples and labels used, in order, before normalisation."""
    mean: tuple[float, ...]
    """Subtracted by channel or feature: the mean over the train set used, its least value, or 0.
    Of pixels in [0, 1] for uint8, else of the stored values."""
    std: tuple[float, ...]
    """Their divisor: the standard deviation over the train set used, or the range of its values;
    1 for a constant channel."""


def load_dataset(
    spec: DataSpec,
    *,
    data_dir: Path,
    allow_download: bool,
    registered: Callable[[str], Path | None],
) -> Dataset:
    """The data of `spec`: a pure function of the spec and the files found.

    registered: returns the `.npz` file of a registered data set, or None. Raises
    DatasetUnavailable, whose message says what to do, and InvalidSpec for a subset that is too
    large for the data set.
    """
    raw = find_raw(spec, data_dir, allow_download, registered)
    x_train, y_train = _take_subset(raw, "train", spec)
    x_test, y_test = _take_subset(raw, "test", spec)
    y_train = corrupt_labels(y_train, raw.info.num_classes, spec.corruption)
    x_train, x_test = (shuffle_pixels(images, spec.corruption) for images in (x_train, x_test))
    mean, std = (
        _channel_moments(x_train) if spec.normalization == "standardize" else _unit_range(x_train)
    )
    streams = is_streamed(len(y_train) + len(y_test), raw.info.shape)
    return Dataset(
        info=replace(
            raw.info,
            train_size=len(y_train),
            test_size=len(y_test),
            train_counts=_count_classes(y_train, raw.info),
            test_counts=_count_classes(y_test, raw.info),
        ),
        x_train=_normalise(x_train, mean, std, streams),
        y_train=torch.from_numpy(y_train),
        x_test=_normalise(x_test, mean, std, streams),
        y_test=torch.from_numpy(y_test),
        sha256=_sha256(x_train, y_train, x_test, y_test),
        mean=mean,
        std=std,
    )


def balanced_subset(labels: Array, num_classes: int, size: int, seed: int, split: str) -> Array:
    """Ascending indices of `size` examples whose class counts differ by one at most.

    The examples, and the classes with one more, are drawn from (seed, split). Raises ValueError if
    the classes are too small for that size.
    """
    counts = np.bincount(labels, minlength=num_classes)
    if size > max_balanced_size(counts.tolist()):
        raise ValueError(f"{size} is more than {max_balanced_size(counts.tolist())}")
    quota = np.full(num_classes, size // num_classes)
    order = torch.randperm(
        num_classes, generator=make_generator(seed, "subset", split, "classes")
    ).numpy()
    spare = order[counts[order] > quota[order]]
    quota[spare[: size % num_classes]] += 1
    taken = []
    for label in range(num_classes):
        of_class = np.flatnonzero(labels == label)
        generator = make_generator(seed, "subset", split, label)
        taken.append(
            of_class[torch.randperm(len(of_class), generator=generator).numpy()[: quota[label]]]
        )
    return np.sort(np.concatenate(taken))


def _take_subset(
    raw: RawData, split: Literal["train", "test"], spec: DataSpec
) -> tuple[Array, Array]:
    images, labels, size = (
        (raw.x_train, raw.y_train, spec.train_size)
        if split == "train"
        else (raw.x_test, raw.y_test, spec.test_size)
    )
    if size is None or raw.info.source == "generated":
        return images, labels
    try:
        chosen = balanced_subset(labels, raw.info.num_classes, size, spec.seed, split)
    except ValueError:
        limit = max_balanced_size(_count_classes(labels, raw.info))
        raise InvalidSpec(
            [subset_too_large(raw.info.name, split, size, limit, len(labels))]
        ) from None
    return images[chosen], labels[chosen]


def _count_classes(labels: Array, info: DatasetInfo) -> tuple[int, ...]:
    return tuple(np.bincount(labels, minlength=info.num_classes).tolist())


Moments = tuple[tuple[float, ...], tuple[float, ...]]


def _channel_moments(examples: Array) -> Moments:
    """Mean and standard deviation of each channel or feature, in double precision.

    Those of uint8 are exact up to their last rounding: they follow from counts of the 256 values.
    """
    if examples.dtype == np.uint8:
        return _moments_of_bytes(examples)
    axes = (0, *range(2, examples.ndim))
    count = examples.size // examples.shape[1]
    mean = sum(part.sum(axes) for part in _in_parts(examples)) / count
    centre = mean.reshape(1, -1, *[1] * (examples.ndim - 2))
    variance = sum(((part - centre) ** 2).sum(axes) for part in _in_parts(examples)) / count
    std = np.sqrt(variance)
    # a deviation that float32 rounds to 0 divides to infinity
    std[std.astype(np.float32) == 0] = 1.0
    return tuple(mean.tolist()), tuple(std.tolist())


def _in_parts(examples: Array) -> Iterator[Array]:
    for start in range(0, len(examples), _ROWS_AT_ONCE):
        yield examples[start : start + _ROWS_AT_ONCE].astype(np.float64)


def _moments_of_bytes(examples: Array) -> Moments:
    means, stds = [], []
    values = np.arange(256, dtype=np.float64) / 255.0
    for channel in range(examples.shape[1]):
        of_channel = examples[:, channel]
        counts = np.bincount(of_channel.ravel(), minlength=256) / of_channel.size
        mean = float(counts @ values)
        variance = float(counts @ (values - mean) ** 2)
        means.append(mean)
        stds.append(variance**0.5 if variance > 0 else 1.0)
    return tuple(means), tuple(stds)


def _unit_range(examples: Array) -> Moments:
    """(least, range) of each channel or feature, of which uint8 has 0 to 1."""
    channels = examples.shape[1]
    if examples.dtype == np.uint8:
        return (0.0,) * channels, (1.0,) * channels
    axes = (0, *range(2, examples.ndim))
    least = examples.min(axes).astype(np.float64)
    extent = examples.max(axes).astype(np.float64) - least
    extent[extent.astype(np.float32) == 0] = 1.0
    return tuple(least.tolist()), tuple(extent.tolist())


def _normalise(
    examples: Array, mean: tuple[float, ...], std: tuple[float, ...], streams: bool
) -> Examples:
    moments = torch.tensor(mean), torch.tensor(std)
    if streams:
        return StreamedExamples(examples, *moments)
    return normalise(torch.from_numpy(examples), *moments)


def _sha256(*arrays: Array) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
