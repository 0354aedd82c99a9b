"""Zip archives of images in one folder a class, with or without `train` and `test` above them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np

from engine.data.importing.imported import Imported, require_classes, split_by_class
from engine.data.importing.options import MAX_FILES, ErrorList, ImportOptions, refuse
from engine.data.npz import Array
from engine.data.zip_archive import DAMAGE, Archive, open_archive

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
PARTS: Mapping[str, Literal["train", "test"]] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "test",
    "valid": "test",
    "validation": "test",
}
"""Names of folders that hold the classes of one part"""
MAX_DIRECTORY_BYTES = 64 << 20
MAX_IMAGE_BYTES = 64 << 20
"""Of one compressed file"""
MAX_PIXELS = 50_000_000
ImageFile = tuple[str, Callable[[], bytes]]
"""Its name, for errors, and what reads it"""
GREY_MODES = frozenset({"1", "L", "LA"})
SHOWN_NAMES = 3


@dataclass(frozen=True, slots=True)
class _Found:
    """One image in the zip archive."""

    name: str
    part: Literal["train", "test"] | None
    class_name: str


def read_images(path: Path, options: ImportOptions) -> Imported:
    """A zip archive of `train/CLASS/*.png` and `test/CLASS/...`, or of `CLASS/*.png`.

    Classes are named by their folders. Raises InvalidSpec that names the files: all are checked by
    their headers before the first is decoded.
    """
    try:
        with open_archive(path, MAX_DIRECTORY_BYTES) as archive:
            found, notes = _find_images(archive, options)
            images = decode(lambda: _list_files(archive, found), len(found), options)
    except DAMAGE as error:
        raise refuse(options, "unreadable", f"not a readable zip archive: {error}") from None
    names = tuple(sorted({one.class_name for one in found}))
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.array([numbers[one.class_name] for one in found], np.int64)
    parts = _split(found, images, labels, names, options)
    return Imported(*parts, names, notes=notes)


def _find_images(archive: Archive, options: ImportOptions) -> tuple[list[_Found], tuple[str, ...]]:
    if len(archive.entries) > MAX_FILES:
        raise refuse(
            options,
            "too-many-files",
            f"{len(archive.entries):,} files; at most {MAX_FILES:,} are taken",
        )
    names = sorted(archive.entries)
    images = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    others = [name for name in names if PurePosixPath(name).suffix.lower() not in SUFFIXES]
    if not images:
        shown = ", ".join(names[:SHOWN_NAMES])[:200] or "nothing"
        raise refuse(options, "no-images", f"there is no image; there are {shown}")
    if not any("/" in name for name in images):
        raise refuse(
            options,
            "one-class",
            f"all images are in one folder ({images[0]}, ...); they need a folder for each class, "
            "at least two",
        )
    found, errors = [], ErrorList(options)
    for name in images:
        folders = PurePosixPath(name).parts[:-1]
        part = PARTS.get(folders[0].lower()) if folders else None
        inside = folders[1:] if part else folders
        if len(inside) != 1:
            expected = "CLASS/IMAGE, train/CLASS/IMAGE or test/CLASS/IMAGE"
            errors.add("wrong-place", f"{name}: the path of an image is {expected}")
        elif len(inside[0]) > options.limits.max_name:
            errors.add("wrong-names", f"{name[:80]}...: the name of the class is too long")
        else:
            found.append(_Found(name, part, inside[0]))
    errors.raise_if_any()
    if len({one.part is None for one in found}) > 1:
        outside = next(one.name for one in found if one.part is None)
        raise refuse(options, "wrong-place", f"{outside}: it is outside `train` and `test`")
    require_classes(sorted({one.class_name for one in found}), options, "the folder")
    if not others:
        return found, ()
    shown = ", ".join(others[:SHOWN_NAMES]) + (", ..." if len(others) > SHOWN_NAMES else "")
    return found, (f"left out, as they are no images: {shown} ({len(others):,} files)",)


def _list_files(archive: Archive, found: Sequence[_Found]) -> Iterator[ImageFile]:
    for one in found:
        yield one.name, partial(_read, archive, one.name)


def _read(archive: Archive, name: str) -> bytes:
    _require_size(archive.size_of(name))
    with archive.open(name) as file:
        return file.read(MAX_IMAGE_BYTES)


def decode(files: Callable[[], Iterable[ImageFile]], count: int, options: ImportOptions) -> Array:
    """uint8 [n, height, width] or [n, height, width, 3] of `count` image files of one set.

    `files` lists them, once for their headers and once more to decode them. Raises InvalidSpec that
    names those that are broken, and where sizes differ or are too large.
    """
    size, channels = _check_headers(files(), options)
    _require_memory(count, size, channels, options)
    errors = ErrorList(options)
    shape = (count, size[1], size[0])
    images = np.empty(shape if channels == 1 else (*shape, 3), np.uint8)
    for index, (name, read) in enumerate(files()):
        try:
            images[index] = np.asarray(_fit(_open(read), size, channels))
        except _broken() as error:
            errors.add("broken-image", _describe_broken(name, error))
    errors.raise_if_any()
    return images


def _check_headers(
    files: Iterable[ImageFile], options: ImportOptions
) -> tuple[tuple[int, int], int]:
    """((width, height), channels) of the images to store, from the headers of all files."""
    errors = ErrorList(options)
    sizes: dict[tuple[int, int], str] = {}
    is_grey = True
    for name, read in files:
        try:
            with _open(read) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"{image.width}x{image.height} pixels are too many")
                sizes.setdefault(image.size, name)
                is_grey &= image.mode in GREY_MODES or image.mode.startswith("I;16")
        except _broken() as error:
            errors.add("broken-image", _describe_broken(name, error))
    errors.raise_if_any()
    channels = {"auto": 1 if is_grey else 3, "grey": 1, "colour": 3}[options.colour]
    if options.side is not None:
        return (options.side, options.side), channels
    if len(sizes) > 1:
        (first, name), (second, other) = list(sizes.items())[:2]
        raise refuse(
            options,
            "different-sizes",
            f"{name} has {first[0]}x{first[1]} pixels, {other} {second[0]}x{second[1]}; choose one "
            "`side` for all",
        )
    size = next(iter(sizes))
    if max(size) > options.limits.max_side:
        raise refuse(
            options,
            "too-large",
            f"{sizes[size]} has {size[0]}x{size[1]} pixels; a side has at most "
            f"{options.limits.max_side}: choose a smaller `side`",
        )
    return size, channels


def _require_memory(
    count: int, size: tuple[int, int], channels: int, options: ImportOptions
) -> None:
    needed = count * size[0] * size[1] * channels
    if needed > options.limits.max_bytes:
        raise refuse(
            options,
            "too-large",
            f"{count:,} images of {size[0]}x{size[1]} take {needed:,} bytes; the limit is "
            f"{options.limits.max_bytes:,}: choose a smaller `side`",
        )


def _fit(image: Image.Image, size: tuple[int, int], channels: int) -> Image.Image:
    from PIL import Image, ImageOps

    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = image.convert("L" if channels == 1 else "RGB")
    return image if image.size == size else ImageOps.fit(image, size, Image.Resampling.BILINEAR)


def _open(read: Callable[[], bytes]) -> Image.Image:
    from PIL import Image

    data = read()
    _require_size(len(data))
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(BytesIO(data))


def _require_size(num_bytes: int) -> None:
    if num_bytes > MAX_IMAGE_BYTES:
        raise ValueError(f"{num_bytes:,} bytes are too many")


def _broken() -> tuple[type[BaseException], ...]:
    """Errors of Pillow and zipfile for files that are no images, or damaged."""
    from PIL import Image

    return (
        *DAMAGE,
        SyntaxError,
        TypeError,
        KeyError,
        IndexError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    )


def _describe_broken(name: str, error: BaseException) -> str:
    reason = "no image that can be read" if "cannot identify" in str(error) else str(error)
    return f"{name}: {reason}"


def _split(
    found: Sequence[_Found],
    images: Array,
    labels: Array,
    names: Sequence[str],
    options: ImportOptions,
) -> tuple[Array, Array, Array, Array]:
    parts = {one.part for one in found}
    if parts == {"train", "test"}:
        is_train = np.array([one.part == "train" for one in found])
        missing = set(range(len(names))) - set(labels[is_train].tolist())
        if missing:
            name = names[min(missing)]
            raise refuse(options, "no-train-images", f"class {name!r} has no image in `train`")
        return images[is_train], labels[is_train], images[~is_train], labels[~is_train]
    return split_by_class(images, labels, names, options)
