"""A converted data set: labels become classes, a test set is drawn, the file is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.importing.options import ImportOptions, refuse
from engine.data.npz import Array

MAX_INTEGER_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Imported:
    """The arrays of a data set, as `engine.data.npz` takes them."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    """What was left out or changed"""
    columns: tuple[str, ...] | None = None
    """All columns of a table, each of which may be that of the labels"""

    def write(self, path: Path) -> None:
        """Write the file, uncompressed, so that it can be mapped; equal data gives equal bytes."""
        arrays: dict[str, Any] = {
            "x_train": self.x_train,
            "y_train": self.y_train,
            "x_test": self.x_test,
            "y_test": self.y_test,
            "class_names": np.array(self.class_names),
        }
        if self.feature_names is not None:
            arrays["feature_names"] = np.array(self.feature_names)
        with path.open("wb") as file:
            np.savez(file, **arrays)


def name_classes(values: Sequence[str]) -> tuple[str, ...]:
    """The different values in the order of their labels: whole numbers by size, else by text."""
    distinct = set(values)
    if all(_is_whole(value) for value in distinct):
        return tuple(sorted(distinct, key=lambda value: (int(float(value)), value)))
    return tuple(sorted(distinct))


def number_labels(
    values: Sequence[str], options: ImportOptions, what: str
) -> tuple[tuple[str, ...], Array]:
    """(names of the classes, the label of each value). Raises InvalidSpec as `require_classes`."""
    classes = name_classes(values)
    require_classes(classes, options, what)
    numbers = {name: number for number, name in enumerate(classes)}
    return classes, np.array([numbers[value] for value in values], np.int64)


def split(
    x: Array,
    y: Array,
    class_names: Sequence[str],
    options: ImportOptions,
    train_size: int | None,
) -> tuple[Array, Array, Array, Array]:
    """(x_train, y_train, x_test, y_test): as `split_by_class`, or after `train_size` examples.

    Raises InvalidSpec for a class without a train example.
    """
    if train_size is None:
        return split_by_class(x, y, class_names, options)
    missing = set(range(len(class_names))) - set(y[:train_size].tolist())
    if missing:
        name = class_names[min(missing)]
        raise refuse(options, "no-train-examples", f"class {name!r} has no example to train on")
    return x[:train_size], y[:train_size], x[train_size:], y[train_size:]


def split_by_class(
    x: Array, y: Array, class_names: Sequence[str], options: ImportOptions
) -> tuple[Array, Array, Array, Array]:
    """(x_train, y_train, x_test, y_test): `test_share` of each class, drawn by the seed.

    At least one example of each class is in each part; both keep the order of the file. Raises
    InvalidSpec for a class of one example.
    """
    generator = np.random.Generator(np.random.PCG64(options.seed))
    is_test = np.zeros(len(y), bool)
    for label, name in enumerate(class_names):
        of_class = np.flatnonzero(y == label)
        if len(of_class) < 2:
            raise refuse(
                options,
                "class-too-small",
                f"class {name!r} has {len(of_class)} example; a train and a test set need one each",
            )
        size = min(max(1, round(options.test_share * len(of_class))), len(of_class) - 1)
        is_test[generator.permutation(of_class)[:size]] = True
    return x[~is_test], y[~is_test], x[is_test], y[is_test]


def require_classes(class_names: Sequence[str], options: ImportOptions, what: str) -> None:
    """Raises InvalidSpec for one class, or for too many."""
    limit = options.limits.max_classes
    if len(class_names) < 2:
        found = repr(class_names[0]) if class_names else "nothing"
        raise refuse(
            options, "one-class", f"{what} holds one class ({found}); at least two are needed"
        )
    if len(class_names) > limit:
        raise refuse(
            options,
            "too-many-classes",
            f"{what} has {len(class_names):,} different values; the limit is {limit:,} classes",
        )


def _is_whole(value: str) -> bool:
    try:
        return len(value) <= MAX_INTEGER_DIGITS and float(value).is_integer()
    except ValueError:
        return False
