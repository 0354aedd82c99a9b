"""`hf:OWNER/NAME`: a set of the Hugging Face hub as `.npz`. Reads its Parquet files, runs no code.

Column types and the names of classes are in the metadata of the files.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.data.importing.hub_files import (
    PREFIX,
    HubChoices,
    choose_config,
    choose_splits,
    list_folder,
    list_repository,
    require_size,
    show_names,
)
from engine.data.importing.images import ImageFile, decode
from engine.data.importing.imported import Imported, number_labels, split
from engine.data.importing.options import ErrorList, ImportOptions, refuse
from engine.data.importing.table import Table, check_names, read_rows, to_text
from engine.errors import DatasetUnavailable

ADDRESS = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
BATCH = 256
"""Images that are in memory at once"""


@dataclass(slots=True)
class _Split:
    """The open files of one split."""

    name: str
    files: list[Any] = field(default_factory=list)

    @property
    def num_rows(self) -> int:
        return sum(file.metadata.num_rows for file in self.files)


def read_hub_set(
    address: str,
    options: ImportOptions,
    choices: HubChoices | None = None,
    *,
    folder: Path | None = None,
    download: bool = False,
) -> Imported:
    """The set at `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`.

    folder: has its files as the hub lays them out; without it they are downloaded, or taken from
    the cache of huggingface_hub. Raises DatasetUnavailable, whose message says what to do, and
    InvalidSpec for what cannot be read as a data set.
    """
    choices = choices or HubChoices()
    parsed = ADDRESS.fullmatch(address)
    if parsed is None:
        raise DatasetUnavailable(f"{address[:80]!r} is no set of the hub: hf:OWNER/NAME")
    repository, revision = parsed[1], parsed[2]
    options = replace(options, file_name=f"{PREFIX}{repository}")
    parquet = _import_libraries()
    if folder is not None:
        found = list_folder(folder)
    elif download:
        found = list_repository(repository, revision)
    else:
        raise DatasetUnavailable(
            f"{address}: --download lets huggingface_hub download it, --from names a folder with "
            "its files"
        )
    config, splits = choose_config(found, choices, options)
    train, test = choose_splits(splits, choices, options)
    paths = [path for name in (train, test) if name is not None for path in splits[name]]
    require_size(sum(found.sizes[path] for path in paths), options)
    opened = [
        _Split(name, [_open(parquet, found.files[path], path, options) for path in splits[name]])
        for name in (train, test)
        if name is not None
    ]
    imported = _read(opened, choices, options)
    origin = f"{PREFIX}{repository}, config {config!r}, revision {found.revision or 'unknown'}"
    parts = f"train split {train!r}, " + (
        "test set drawn from it" if test is None else f"test split {test!r}"
    )
    return replace(imported, notes=(f"from {origin}", parts, *imported.notes))


def _import_libraries() -> Any:
    """The module `pyarrow.parquet`. Raises DatasetUnavailable with the command that installs."""
    try:
        import huggingface_hub  # noqa: F401
        from pyarrow import parquet
    except ImportError:
        raise DatasetUnavailable(
            "sets of the Hugging Face hub need huggingface_hub and pyarrow, the extra `hf` of the "
            f"service: {sys.executable} -m pip install huggingface_hub pyarrow"
        ) from None
    return parquet


def _open(parquet: Any, find: Callable[[], Path], path: str, options: ImportOptions) -> Any:
    from pyarrow import ArrowException

    try:
        return parquet.ParquetFile(find())
    except (ArrowException, OSError, ValueError) as error:
        raise refuse(options, "unreadable", f"{path}: {error}") from None


def _read(splits: Sequence[_Split], choices: HubChoices, options: ImportOptions) -> Imported:
    from pyarrow import ArrowException

    first = splits[0].files[0]
    names = check_names(first.schema_arrow.names, options)
    for one in (file for part in splits for file in part.files):
        if one.schema_arrow.names != names:
            raise refuse(options, "different-columns", "its files do not all have the same columns")
    features = _read_features(first)
    image = _find_image(names, features, choices.image, options)
    label = _find_label(names, features, options)
    class_names = _find_class_names(features, label)
    train_size = splits[0].num_rows if len(splits) > 1 else None
    try:
        labels = _read_labels(splits, label, class_names, options)
        if image is None:
            chosen = replace(options, label=label)
            imported = _read_table(splits, names, label, train_size, chosen)
            return replace(imported, class_names=_name(imported.class_names, class_names))
        images = decode(lambda: _list_images(splits, image), len(labels), options)
    except (ArrowException, OSError, ValueError) as error:
        raise refuse(options, "unreadable", f"not readable Parquet files: {error}") from None
    classes, y = number_labels(labels, options, f"the column of labels, {label!r},")
    classes = _name(classes, class_names)
    return Imported(*split(images, y, classes, options, train_size), classes)


def _name(classes: tuple[str, ...], names: Sequence[str] | None) -> tuple[str, ...]:
    """The names of classes that are whole numbers, where there are any."""
    return classes if names is None else tuple(names[int(one)] for one in classes)


def _read_features(file: Any) -> Mapping[str, Any]:
    """The types of the columns that the hub's library wrote into the file; {} without them."""
    try:
        found = json.loads((file.schema_arrow.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): one for name, one in found.items() if isinstance(one, dict)}


def _find_class_names(features: Mapping[str, Any], label: str) -> Sequence[str] | None:
    """The names of the whole numbers in the column of labels, where the metadata has them."""
    names = features.get(label, {}).get("names")
    is_named = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_named else None


def _find_image(
    names: Sequence[str], features: Mapping[str, Any], chosen: str | None, options: ImportOptions
) -> str | None:
    images = [name for name in names if features.get(name, {}).get("_type") == "Image"]
    if chosen is not None and chosen not in names:
        raise refuse(
            options, "unknown-column", f"there is no column {chosen!r}: --image {show_names(names)}"
        )
    if chosen is None and len(images) > 1:
        raise refuse(options, "unknown-column", f"choose one column: --image {show_names(images)}")
    return chosen or next(iter(images), None)


def _find_label(names: Sequence[str], features: Mapping[str, Any], options: ImportOptions) -> str:
    labels = [name for name in names if features.get(name, {}).get("_type") == "ClassLabel"]
    if options.label is None and len(labels) == 1:
        return labels[0]
    if options.label is None or options.label not in names:
        wrong = "choose the column of labels"
        if options.label is not None:
            wrong = f"there is no column {options.label!r}"
        raise refuse(options, "unknown-column", f"{wrong}: --label {show_names(labels or names)}")
    return options.label


def _read_labels(
    splits: Sequence[_Split], label: str, names: Sequence[str] | None, options: ImportOptions
) -> list[str]:
    """The labels of all rows as text. Raises InvalidSpec for missing ones."""
    errors, labels = ErrorList(options), list[str]()
    for place, value in _read_column(splits, label, 1 << 16):
        text = to_text(value)
        if not text:
            errors.add("missing-label", f"{place}: the label is missing")
        elif names is not None and not (isinstance(value, int) and 0 <= value < len(names)):
            errors.add(
                "missing-label", f"{place}: the label is {text[:40]}, which stands for no class"
            )
        elif len(text) > options.limits.max_name:
            errors.add("wrong-label", f"{place}: {text[:40]!r}... is too long")
        labels.append(text)
    errors.raise_if_any()
    if not labels:
        raise refuse(options, "empty", "it has no rows")
    return labels


def _read_column(splits: Sequence[_Split], name: str, batch: int) -> Iterator[tuple[str, Any]]:
    for part in splits:
        row = 0
        for file in part.files:
            for found in file.iter_batches(batch, columns=[name]):
                for value in found.column(0).to_pylist():
                    row += 1
                    yield f"split {part.name!r}, row {row}", value


def _list_images(splits: Sequence[_Split], name: str) -> Iterator[ImageFile]:
    for place, value in _read_column(splits, name, BATCH):
        yield place, _Bytes(value)


@dataclass(frozen=True, slots=True)
class _Bytes:
    """The bytes of an image file in a cell."""

    cell: Any

    def __call__(self) -> bytes:
        data = self.cell.get("bytes") if isinstance(self.cell, dict) else self.cell
        if not isinstance(data, bytes):
            raise ValueError("no image is stored in the column")
        return data


def _read_table(
    splits: Sequence[_Split],
    names: Sequence[str],
    label: str,
    train_size: int | None,
    options: ImportOptions,
) -> Imported:
    table = Table(names, list(names).index(label), options)
    for part in splits:
        first = 1
        for file in part.files:
            for place, cells in read_rows(file, f"split {part.name!r}, ", first):
                table.add(place, cells)
            first += file.metadata.num_rows
    return table.finish(train_size)
