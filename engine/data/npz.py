"""Validate and read data sets in `.npz` files; imports numpy, not torch.

`x_train`, `x_test`: uint8 or float32 images [n, height, width], [n, height, width, channels] or [n,
channels, height, width] with 1 or 3 channels (channels last if both fit), or features [n,
features]. `y_train`, `y_test`: integer labels [n] from 0 on. Optional: `class_names` and
`feature_names`, one text each. `engine.data.importing` converts other files to this.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal
from zipfile import ZIP_STORED, ZipExtFile

import numpy as np
from numpy.lib import format as npy

from engine.data.spec import DatasetInfo
from engine.data.zip_archive import DAMAGE, Archive, open_archive
from engine.errors import InvalidSpec

Array = np.ndarray[Any, np.dtype[Any]]
_IMAGES = ("x_train", "x_test")
_LABELS = ("y_train", "y_test")
_NAMES = ("class_names", "feature_names")
_DTYPES: Mapping[str, Literal["uint8", "float32"]] = {"uint8": "uint8", "float32": "float32"}
_CHUNK = 1 << 20
UNREADABLE = (*DAMAGE, TypeError, KeyError)
"""Errors of zipfile and numpy for damaged, encrypted or foreign files."""
_MAX_DIRECTORY_BYTES = 1 << 16
_MAX_HEADER_BYTES = 10_000
_HEADER = re.compile(
    rb"\{(\s*('descr':\s*'[<>|=]?[a-zA-Z?]\d*'|'fortran_order':\s*(True|False)|'shape':\s*\([\d,\s]*\)),?){3}\s*\}\s*"
)
"""A header of plain numbers; numpy would evaluate any Python literal."""


@dataclass(frozen=True, slots=True)
class NpzLimits:
    """Size limits of a data set."""

    max_bytes: int = 2 << 30
    """of all arrays, decompressed"""
    max_side: int = 512
    max_classes: int = 1_000
    max_features: int = 100_000
    max_name: int = 200
    """Characters of a class or feature"""


@dataclass(frozen=True, slots=True)
class _Member:
    """One array as its header declares it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int
    """Offset of its data, in bytes from the start of the entry."""
    is_fortran: bool


class Refused(Exception):
    """An array that is refused; `inspect_npz` turns it into InvalidSpec."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def find_npz(name: str, data_dir: Path, registered: Callable[[str], Path | None]) -> Path | None:
    """The file of a data set that is not built in, or None."""
    path = registered(name)
    if path is not None and path.is_file():
        return path
    beside = data_dir / f"{name}.npz"
    return beside if beside.is_file() else None


def inspect_npz(
    path: Path, name: str | None = None, limits: NpzLimits | None = None, pointer: str = "#/file"
) -> DatasetInfo:
    """Check a whole data set file and return its shape, classes and sizes.

    Sizes and headers are checked before anything is decompressed; then images are decompressed in
    chunks of a megabyte. Raises InvalidSpec at `pointer`, naming the array, the value and the
    limit.
    """
    limits = limits or NpzLimits()
    try:
        with open_archive(path, _MAX_DIRECTORY_BYTES) as archive:
            _check_entries(archive, limits)
            found = [key for key in _NAMES if f"{key}.npy" in archive.entries]
            members = {key: read_header(archive, key) for key in (*_IMAGES, *_LABELS, *found)}
            _check_members(archive, members, limits)
            for key in _IMAGES:
                _read_through(archive, key, members[key])
            counts = {key: _count_labels(archive, key, limits) for key in _LABELS}
            names = {key: _read_names(archive, key, members[key], limits) for key in found}
        return _describe(name or path.stem, members, counts, names)
    except Refused as refused:
        raise InvalidSpec.single(pointer, refused.code, str(refused)) from None
    except UNREADABLE as error:
        raise InvalidSpec.single(
            pointer, "unreadable", f"not a readable .npz file: {error}"
        ) from None


def is_compressed(path: Path) -> bool:
    """Whether the train examples of a data set file are compressed, so that it cannot be mapped."""
    with open_archive(path, _MAX_DIRECTORY_BYTES) as archive:
        return archive.entries["x_train.npy"].compress_type != ZIP_STORED


def read_npz(path: Path, *, mapped: bool = False) -> dict[str, Array]:
    """The four arrays of a file that `inspect_npz` accepts.

    Images are uint8 or float32 [n, channels, height, width], features [n, features], labels int64
    [n]. mapped: examples are read from the file when they are used, where it is not compressed and
    has them in this layout; the result is read-only then.
    """
    with open_archive(path, _MAX_DIRECTORY_BYTES) as archive:
        images = {
            key: _channels_first(read_array(archive, key, path if mapped else None))
            for key in _IMAGES
        }
        return images | {key: read_array(archive, key).astype(np.int64) for key in _LABELS}


def read_array(archive: Archive, key: str, mapped: Path | None = None) -> Array:
    """The array `key`, whose header `read_header` accepts; pickled data is never read.

    mapped: the file of the archive, to read examples when they are used; the result is then
    read-only.
    """
    entry = archive.entries[f"{key}.npy"]
    is_stored = entry.compress_type == ZIP_STORED and entry.compress_size == entry.file_size
    if mapped is not None and is_stored:
        member = read_header(archive, key)
        return np.memmap(
            mapped,
            member.dtype,
            "r",
            _find_data(mapped, entry.header_offset) + member.start,
            member.shape,
            "F" if member.is_fortran else "C",
        )
    with archive.open(f"{key}.npy") as file:
        array: Array = npy.read_array(file, allow_pickle=False)
        return array


def _find_data(path: Path, header_offset: int) -> int:
    """Where the bytes of an entry begin that is stored without compression."""
    with path.open("rb") as file:
        file.seek(header_offset + 26)
        name_length, extra_length = struct.unpack("<HH", file.read(4))
    return header_offset + 30 + int(name_length) + int(extra_length)


def _check_entries(archive: Archive, limits: NpzLimits) -> None:
    expected = {f"{key}.npy" for key in (*_IMAGES, *_LABELS)}
    names = archive.entries.keys()
    if not expected <= names <= expected | {f"{key}.npy" for key in _NAMES}:
        found = ", ".join(sorted(names)[:8])[:200] or "nothing"
        raise Refused(
            "wrong-arrays",
            f"the file must hold only x_train, y_train, x_test, y_test; it holds {found}",
        )
    total = sum(map(archive.size_of, names))
    if total > limits.max_bytes:
        raise Refused(
            "too-large", f"the arrays take {total:,} bytes; the limit is {limits.max_bytes:,}"
        )


def read_header(archive: Archive, key: str) -> _Member:
    """Shape and dtype of the array `key`; raises Refused, and UNREADABLE errors.

    The entry holds exactly the bytes that the header declares.
    """
    with archive.open(f"{key}.npy") as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise Refused("unreadable", f"{key} is in format {version}; write it with numpy.savez")
        length = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
        if length > _MAX_HEADER_BYTES:
            raise Refused("unreadable", f"{key} has a header of {length:,} bytes")
        if _HEADER.fullmatch(file.read(length)) is None:
            raise Refused(
                "wrong-dtype", f"{key} has no header of plain numbers; write it with numpy.savez"
            )
    with archive.open(f"{key}.npy") as file:
        shape, is_fortran, dtype = _skip_header(file)
        start = file.tell()
    if dtype.hasobject or dtype.fields is not None:
        raise Refused("wrong-dtype", f"{key} is of dtype {dtype}; only plain numbers are read")
    declared, held = prod(shape) * dtype.itemsize, archive.size_of(f"{key}.npy") - start
    if held != declared:
        raise Refused(
            "unreadable", f"{key} declares {declared:,} bytes of data, the file holds {held:,}"
        )
    return _Member(shape, dtype, start, is_fortran)


def _skip_header(file: ZipExtFile) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header: shape, order and dtype. The file is then at the first number."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, dtype = read(file)
    return tuple(shape), is_fortran, dtype


def _check_members(archive: Archive, members: dict[str, _Member], limits: NpzLimits) -> None:
    for key in _IMAGES:
        _check_images(key, members[key], limits)
    for key in _LABELS:
        member, images = members[key], members["x" + key[1:]]
        if member.dtype.kind not in "iu" or len(member.shape) != 1:
            raise Refused(
                "wrong-dtype",
                f"{key} is {member.dtype} {member.shape}; it must be one integer per example",
            )
        if member.shape[0] != images.shape[0]:
            raise Refused(
                "wrong-shape", f"{key} has {member.shape[0]} labels for {images.shape[0]} examples"
            )
    train, test = (_example_shape(members[key].shape) for key in _IMAGES)
    if train != test:
        raise Refused(
            "wrong-shape",
            f"train examples are {train}, test examples {test}: (channels, height, width) or "
            "(features,)",
        )
    dtypes = [members[key].dtype for key in _IMAGES]
    if dtypes[0] != dtypes[1]:
        raise Refused("wrong-dtype", f"x_train is {dtypes[0]}, x_test {dtypes[1]}")


def _check_images(key: str, member: _Member, limits: NpzLimits) -> None:
    if member.dtype.name not in _DTYPES:
        raise Refused("wrong-dtype", f"{key} is {member.dtype}; examples are uint8 or float32")
    shape = _example_shape(member.shape)
    if shape is None:
        raise Refused(
            "wrong-shape",
            f"{key} has shape {member.shape}; it must be [n, features], [n, height, width], "
            "[n, height, width, 1 or 3] or [n, 1 or 3, height, width]",
        )
    if len(shape) == 1 and not 1 <= shape[0] <= limits.max_features:
        raise Refused(
            "wrong-shape",
            f"{key} has {shape[0]:,} features; 1 to {limits.max_features:,} are taken",
        )
    if len(shape) == 3 and not 1 <= min(shape[1:]) <= max(shape[1:]) <= limits.max_side:
        raise Refused(
            "wrong-shape",
            f"{key} has images of {shape[1]}x{shape[2]}; a side must have 1 to {limits.max_side} "
            "pixels",
        )
    if member.shape[0] < 2:
        raise Refused(
            "wrong-shape", f"{key} has {member.shape[0]} example(s); at least 2 are needed"
        )


def _example_shape(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """(channels, height, width) or (features,) of an array of examples; None for other arrays."""
    if len(shape) == 2:
        return shape[1:]
    if len(shape) == 3:
        return (1, shape[1], shape[2])
    if len(shape) == 4 and shape[3] in (1, 3):
        return (shape[3], shape[1], shape[2])
    if len(shape) == 4 and shape[1] in (1, 3):
        return (shape[1], shape[2], shape[3])
    return None


def _channels_first(images: Array) -> Array:
    """C-contiguous and in the machine's byte order; the argument itself where it is already."""
    shape = _example_shape(images.shape)
    assert shape is not None, f"not an array of examples: {images.shape}"
    if images.ndim == 4 and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    shaped = images.reshape(images.shape[0], *shape)
    return np.asarray(shaped, dtype=images.dtype.newbyteorder("="), order="C")


def _read_through(archive: Archive, key: str, member: _Member) -> None:
    """Decompress an entry and discard it: zipfile checks its checksum at the end.

    Numbers of float32 must be finite.
    """
    with archive.open(f"{key}.npy") as file:
        if member.dtype.kind == "f":
            file.read(member.start)
        position = 0
        while part := file.read(_CHUNK):
            if member.dtype.kind != "f":
                continue
            bad = np.flatnonzero(~np.isfinite(np.frombuffer(part, member.dtype)))
            if len(bad):
                raise Refused("not-finite", _describe_not_finite(key, member, position + bad[0]))
            position += len(part) // member.dtype.itemsize


def _describe_not_finite(key: str, member: _Member, position: int) -> str:
    order: Literal["F", "C"] = "F" if member.is_fortran else "C"
    place = ", ".join(str(int(one)) for one in np.unravel_index(position, member.shape, order))
    return f"{key}[{place}] is NaN or infinite; leave such examples out, or give them a number"


def _read_names(archive: Archive, key: str, member: _Member, limits: NpzLimits) -> tuple[str, ...]:
    """Texts, each once and of at least one character."""
    most = limits.max_classes if key == "class_names" else limits.max_features
    if (
        member.dtype.kind != "U"
        or len(member.shape) != 1
        or member.shape[0] > most
        or member.dtype.itemsize > 4 * limits.max_name
    ):
        raise Refused(
            "wrong-names",
            f"{key} is {member.dtype} {member.shape}; it must be one text of at most "
            f"{limits.max_name} characters each, at most {most:,}",
        )
    names = tuple(read_array(archive, key).tolist())
    if len(set(names)) < len(names) or not all(names):
        raise Refused("wrong-names", f"{key} must hold different texts, none of them empty")
    return names


def _count_labels(archive: Archive, key: str, limits: NpzLimits) -> Array:
    """The number of examples of each label, from 0 to the limit; read in chunks of a megabyte."""
    counts = np.zeros(limits.max_classes, np.int64)
    with archive.open(f"{key}.npy") as file:
        (left,), _, dtype = _skip_header(file)
        while left:
            size = min(left, _CHUNK // dtype.itemsize)
            labels = np.frombuffer(file.read(size * dtype.itemsize), dtype)
            lowest, highest = int(labels.min()), int(labels.max())
            if lowest < 0 or highest >= limits.max_classes:
                raise Refused(
                    "wrong-labels",
                    f"{key} has labels from {lowest} to {highest}; they must run from 0 to at most "
                    f"{limits.max_classes - 1}",
                )
            counts += np.bincount(labels.astype(np.int64), minlength=limits.max_classes)
            left -= size
        while file.read(_CHUNK):
            pass
    return counts


def _describe(
    name: str,
    members: dict[str, _Member],
    counts: dict[str, Array],
    names: Mapping[str, tuple[str, ...]],
) -> DatasetInfo:
    highest = max(int(np.flatnonzero(found)[-1]) for found in counts.values())
    if highest < 1:
        raise Refused("wrong-labels", "all labels are 0; there must be at least two classes")
    train_counts, test_counts = (counts[key][: highest + 1] for key in _LABELS)
    if not train_counts.all():
        missing = int(np.flatnonzero(train_counts == 0)[0])
        raise Refused(
            "wrong-labels",
            f"no train example has label {missing}; labels must be 0 to {highest} without gaps",
        )
    shape = _example_shape(members["x_train"].shape)
    assert shape is not None
    for key, expected, what in (
        ("class_names", highest + 1, "classes"),
        ("feature_names", shape[0] if len(shape) == 1 else 0, "features"),
    ):
        if key in names and len(names[key]) != expected:
            raise Refused(
                "wrong-names", f"{key} holds {len(names[key])} names for {expected} {what}"
            )
    return DatasetInfo(
        name=name,
        title=f"registered data set {name}",
        shape=shape,
        num_classes=highest + 1,
        train_size=int(train_counts.sum()),
        test_size=int(test_counts.sum()),
        source="registered",
        train_counts=tuple(train_counts.tolist()),
        test_counts=tuple(test_counts.tolist()),
        dtype=_DTYPES[members["x_train"].dtype.name],
        class_names=names.get("class_names"),
        feature_names=names.get("feature_names"),
    )
