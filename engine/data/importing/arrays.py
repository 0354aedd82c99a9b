"""`.npz` files of other layouts than the one that is stored."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from engine.data.importing.imported import Imported, name_classes, require_classes, split_by_class
from engine.data.importing.options import ImportOptions, refuse
from engine.data.npz import UNREADABLE, Array, Refused, read_array, read_header
from engine.data.zip_archive import Archive, open_archive
from engine.errors import InvalidSpec

MAX_DIRECTORY_BYTES = 1 << 16
EXAMPLES = ("x", "data", "images", "image", "features", "inputs")
LABELS = ("y", "labels", "label", "targets", "target")
CLASS_NAMES = ("class_names", "classes", "label_names", "target_names")
FEATURE_NAMES = ("feature_names", "columns")


def _spell(words: Iterable[str], part: Literal["train", "test"] | None) -> tuple[str, ...]:
    """Lower-case names of arrays: `x_train`, `train_x`, `xtrain`, `trainx`; `x` for no part."""
    if part is None:
        return tuple(words)
    return tuple(
        name
        for word in words
        for name in (f"{word}_{part}", f"{part}_{word}", f"{word}{part}", f"{part}{word}")
    )


def read_arrays(path: Path, options: ImportOptions) -> Imported:
    """Arrays of train and test examples and labels, or one of each, which is split.

    Names as `x_train`, `X_train`, `train_images`, or `x`, `data`, `images`; labels [n], [n, 1] or
    one-hot, numbers or texts. Raises InvalidSpec that names the array.
    """
    try:
        with open_archive(path, MAX_DIRECTORY_BYTES) as archive:
            return _Arrays(archive, options).read()
    except Refused as refused:
        raise refuse(options, refused.code, str(refused)) from None
    except UNREADABLE as error:
        raise refuse(options, "unreadable", f"not a readable .npz file: {error}") from None


class _Arrays:
    def __init__(self, archive: Archive, options: ImportOptions) -> None:
        self._archive, self._options = archive, options
        self._names: dict[str, str] = {}
        """As in the file, by their lower-case spelling"""
        for entry in archive.entries:
            name = entry.removesuffix(".npy")
            if name.lower() in self._names:
                raise self._refuse("wrong-arrays", f"two arrays are named {name!r} in any case")
            self._names[name.lower()] = name
        self._used: set[str] = set()

    def read(self) -> Imported:
        found = self._find_parts()
        total = sum(self._archive.size_of(f"{name}.npy") for name in self._archive_names())
        limit = self._options.limits.max_bytes
        if total > limit:
            raise self._refuse(
                "too-large", f"the arrays take {total:,} bytes; the limit is {limit:,}"
            )
        x = [self._read_examples(name) for name, _ in found]
        y = [self._read_labels(name) for _, name in found]
        for (x_name, y_name), examples, labels in zip(found, x, y, strict=True):
            if len(examples) != len(labels):
                raise self._refuse(
                    "wrong-shape",
                    f"{y_name} has {len(labels)} labels for {len(examples)} in {x_name}",
                )
        x = self._unify(x, [name for name, _ in found])
        class_names, labels_of_parts = self._name_labels(y, [name for _, name in found])
        require_classes(class_names, self._options, " and ".join(name for _, name in found))
        features = self._read_names(FEATURE_NAMES)
        notes = self._list_left_out()
        if len(found) == 1:
            parts = split_by_class(x[0], labels_of_parts[0], class_names, self._options)
        else:
            parts = (x[0], labels_of_parts[0], x[1], labels_of_parts[1])
        return Imported(*parts, class_names, features, notes)

    def _archive_names(self) -> list[str]:
        return list(self._names.values())

    def _find_parts(self) -> list[tuple[str, str]]:
        """(examples, labels) of train and test, or of the whole."""
        pairs: list[tuple[str, str]] = []
        for part in ("train", "test"):
            x, y = self._find(_spell(EXAMPLES, part)), self._find(_spell(LABELS, part))
            if x is not None and y is not None:
                pairs.append((x, y))
        if len(pairs) == 2:
            return pairs
        x, y = self._find(EXAMPLES), self._find(LABELS)
        if not pairs and x is not None and y is not None:
            return [(x, y)]
        shown = ", ".join(self._archive_names()[:8])[:200] or "nothing"
        raise self._refuse(
            "wrong-arrays",
            "the file must hold x_train, y_train, x_test and y_test (or train_images, "
            f"train_labels, ...), or x and y; it holds {shown}",
        )

    def _find(self, spellings: Iterable[str]) -> str | None:
        for spelling in spellings:
            if spelling in self._names:
                return self._names[spelling]
        return None

    def _load(self, name: str) -> Array:
        self._used.add(name)
        read_header(self._archive, name)
        return read_array(self._archive, name)

    def _read_examples(self, name: str) -> Array:
        """uint8 or float32, without a conversion that changes whole numbers from 0 to 255."""
        array = self._load(name)
        if array.dtype.kind not in "biuf":
            raise self._refuse("wrong-dtype", f"{name} is {array.dtype}; examples are numbers")
        if array.ndim < 2:
            raise self._refuse("wrong-shape", f"{name} has shape {array.shape}; examples are rows")
        if array.dtype.kind == "b":
            return array.astype(np.uint8) * np.uint8(255)
        if array.dtype == np.uint8:
            return array
        is_image = array.ndim > 2
        if is_image and array.dtype.kind in "iu" and array.size and _is_byte_range(array):
            return array.astype(np.uint8)
        return self._to_float32(name, array)

    def _to_float32(self, name: str, array: Array) -> Array:
        with np.errstate(over="ignore"):
            converted = array.astype(np.float32)
        bad = np.argwhere(~np.isfinite(converted))
        if len(bad):
            place = ", ".join(map(str, bad[0].tolist()))
            value = array[tuple(bad[0])]
            reason = "too large for float32" if np.isfinite(value) else "not finite"
            raise self._refuse(
                "not-finite", f"{name}[{place}] is {value}: {reason}, as are {len(bad) - 1:,} more"
            )
        return converted

    def _unify(self, arrays: list[Array], names: list[str]) -> list[Array]:
        dtypes = {array.dtype for array in arrays}
        if len(dtypes) > 1:
            found = ", ".join(
                f"{name} holds {'bytes' if array.dtype == np.uint8 else 'other numbers'}"
                for name, array in zip(names, arrays, strict=True)
            )
            raise self._refuse("wrong-dtype", f"{found}; both must be of one kind")
        return arrays

    def _read_labels(self, name: str) -> list[str]:
        """One text an example."""
        labels = self._load(name)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim == 2 and labels.dtype.kind in "biuf":
            return self._read_one_hot(name, labels)
        if labels.ndim != 1:
            raise self._refuse(
                "wrong-shape",
                f"{name} has shape {labels.shape}; labels are [n], [n, 1] or one-hot [n, classes]",
            )
        if labels.dtype.kind == "f":
            self._require(name, labels, np.mod(labels, 1) == 0, "is no whole number")
            labels = labels.astype(np.int64)
        if labels.dtype.kind == "S":
            labels = np.char.decode(labels, "utf-8")
        if labels.dtype.kind not in "biuU":
            raise self._refuse(
                "wrong-dtype", f"{name} is {labels.dtype}; labels are numbers or texts"
            )
        if labels.dtype.kind == "b":
            labels = labels.astype(np.int64)
        if labels.dtype.kind == "U":
            self._require(name, labels, np.char.str_len(labels) > 0, "is empty")
        return [str(label) for label in labels.tolist()]

    def _read_one_hot(self, name: str, labels: Array) -> list[str]:
        is_one = labels == 1
        fits = (is_one.sum(1) == 1) & ((labels == 0) | is_one).all(1)
        self._require(name, labels, fits, "is not one-hot: one 1 and zeros")
        return [str(label) for label in is_one.argmax(1).tolist()]

    def _require(self, name: str, labels: Array, fits: Array, problem: str) -> None:
        bad = np.flatnonzero(~fits)
        if len(bad):
            shown = str(labels[bad[0]])[:80]
            raise self._refuse(
                "wrong-labels",
                f"{name}[{int(bad[0])}] = {shown} {problem} ({len(bad):,} such labels)",
            )

    def _name_labels(
        self, parts: list[list[str]], names: list[str]
    ) -> tuple[tuple[str, ...], list[Array]]:
        values = name_classes([label for part in parts for label in part])
        given = self._read_names(CLASS_NAMES)
        numbers = {value: number for number, value in enumerate(values)}
        missing = set(values) - set(parts[0])
        if missing:
            raise self._refuse(
                "wrong-labels", f"{names[0]} has no label {min(missing)!r}, which {names[-1]} has"
            )
        arrays = [np.array([numbers[label] for label in part], np.int64) for part in parts]
        if given is None:
            return values, arrays
        if len(given) != len(values):
            raise self._refuse(
                "wrong-names", f"{len(given)} names of classes for {len(values)} different labels"
            )
        return given, arrays

    def _read_names(self, spellings: Iterable[str]) -> tuple[str, ...] | None:
        name = self._find(spellings)
        if name is None:
            return None
        array = self._load(name)
        if array.ndim != 1 or array.dtype.kind not in "US":
            raise self._refuse(
                "wrong-names", f"{name} is {array.dtype} {array.shape}; names are texts"
            )
        texts = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
        return tuple(str(text) for text in texts.tolist())

    def _list_left_out(self) -> tuple[str, ...]:
        others = sorted(set(self._archive_names()) - self._used)
        return (f"arrays that were left out: {', '.join(others)}",) if others else ()

    def _refuse(self, code: str, detail: str) -> InvalidSpec:
        return refuse(self._options, code, detail)


def _is_byte_range(array: Array) -> bool:
    return int(array.min()) >= 0 and int(array.max()) <= 255
