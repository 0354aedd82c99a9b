"""A set of torchvision by its name.

Torchvision reads the files, in its own layout, and downloads them where that is asked for; it
checks their hashes. Loads torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.importing.imported import Imported, name_classes
from engine.data.torchvision_import import import_torchvision
from engine.errors import DatasetUnavailable

BY_TRAIN: tuple[Mapping[str, Any], Mapping[str, Any]] = ({"train": True}, {"train": False})
BY_SPLIT: tuple[Mapping[str, Any], Mapping[str, Any]] = ({"split": "train"}, {"split": "test"})
EMNIST_SPLITS = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")
SETS: Mapping[str, tuple[str, tuple[Mapping[str, Any], Mapping[str, Any]]]] = {
    "cifar100": ("CIFAR100", BY_TRAIN),
    "kmnist": ("KMNIST", BY_TRAIN),
    "qmnist": ("QMNIST", BY_TRAIN),
    "stl10": ("STL10", BY_SPLIT),
    "svhn": ("SVHN", BY_SPLIT),
    "usps": ("USPS", BY_TRAIN),
    "emnist": (
        "EMNIST",
        ({"split": "balanced", "train": True}, {"split": "balanced", "train": False}),
    ),
    **{
        f"emnist_{split}": (
            "EMNIST",
            ({"split": split, "train": True}, {"split": split, "train": False}),
        )
        for split in EMNIST_SPLITS
    },
}
"""Name of the class, and its arguments for the train and for the test set"""


def read_torchvision(name: str, root: Path, *, download: bool) -> Imported:
    """The set of this name, from torchvision's files under `root`.

    download: lets torchvision download what is missing into `root`. Raises DatasetUnavailable,
    whose message says what to do.
    """
    if name not in SETS:
        raise DatasetUnavailable(f"torchvision's set {name!r} is not known: {', '.join(SETS)}")
    class_name, arguments = SETS[name]
    dataset_class: Any = getattr(import_torchvision("datasets"), class_name)
    parts = []
    for chosen in arguments:
        try:
            dataset = dataset_class(str(root), **chosen, download=download)
        except (RuntimeError, OSError) as error:
            advice = "" if download else "; --download lets torchvision download them"
            raise DatasetUnavailable(f"the files of {name} in {root}: {error}{advice}") from error
        parts.append(_read(dataset))
    (x_train, labels), (x_test, test_labels) = parts
    values = name_classes([str(label) for label in labels])
    numbers = {int(value): number for number, value in enumerate(values)}
    return Imported(
        x_train,
        np.array([numbers[label] for label in labels], np.int64),
        x_test,
        np.array([numbers[label] for label in test_labels], np.int64),
        _name(dataset, values),
        notes=(f"torchvision's {class_name}",),
    )


def _read(dataset: Any) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Images [n, height, width] or [n, height, width, 3], and labels."""
    pairs = [(np.asarray(image), int(label)) for image, label in dataset]
    return np.stack([image for image, _ in pairs]), [label for _, label in pairs]


def _name(dataset: Any, values: tuple[str, ...]) -> tuple[str, ...]:
    """The names that torchvision has for the labels, else the labels."""
    known = getattr(dataset, "classes", None)
    if known is None or max(map(int, values)) >= len(known):
        return values
    return tuple(str(known[int(value)]) for value in values)
