"""What a person sees of a data set: some images of each class, or the first rows.

Imports numpy, and Pillow when it draws; never torch.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.data.npz import Array, is_compressed, read_npz
from engine.data.spec import DatasetInfo

if TYPE_CHECKING:
    from PIL import Image

IMAGES_PER_CLASS = 8
MAX_CLASSES = 20
MAX_ROWS = 10
MAX_COLUMNS = 12
MAX_DECOMPRESSED = 256 << 20
"""Bytes of a compressed data set that are read for a preview; files that are not compressed are
read only where they are shown"""
CELL = 48
"""Pixels of the longer side of an image in the picture"""
GAP = 2
BACKGROUND = 255


@dataclass(frozen=True, slots=True)
class Rows:
    """The first rows of a table."""

    names: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    labels: tuple[int, ...]


def can_preview(path: Path, info: DatasetInfo) -> bool:
    """Whether a preview reads little enough."""
    size = info.bytes_per_example * (info.train_size + info.test_size)
    return size <= MAX_DECOMPRESSED or not is_compressed(path)


def read_rows(path: Path, info: DatasetInfo) -> Rows:
    """The first train rows of a data set of features, and their first columns."""
    arrays = read_npz(path, mapped=True)
    columns = min(info.shape[0], MAX_COLUMNS)
    names = info.feature_names or tuple(f"feature {one}" for one in range(1, info.shape[0] + 1))
    values = arrays["x_train"][:MAX_ROWS, :columns]
    return Rows(
        names[:columns],
        tuple(tuple(row) for row in values.tolist()),
        tuple(arrays["y_train"][:MAX_ROWS].tolist()),
    )


def draw_images(path: Path, info: DatasetInfo) -> bytes:
    """A PNG with the first train images of each class: a row for each of the first classes.

    Images of float32 are shown from their least to their greatest value, over all that are shown.
    """
    rows = _draw_rows(path, info)
    height = rows[0].height + GAP
    picture = _new_picture(info, rows[0].width, len(rows) * height - GAP)
    for number, row in enumerate(rows):
        picture.paste(row, (0, number * height))
    return _to_png(picture)


def draw_rows(path: Path, info: DatasetInfo) -> list[bytes]:
    """The rows of `draw_images`, each a PNG: that of label 0 first."""
    return [_to_png(row) for row in _draw_rows(path, info)]


def _draw_rows(path: Path, info: DatasetInfo) -> list[Image.Image]:
    arrays = read_npz(path, mapped=True)
    chosen = [
        np.flatnonzero(arrays["y_train"] == label)[:IMAGES_PER_CLASS]
        for label in range(min(info.num_classes, MAX_CLASSES))
    ]
    images = iter(_to_bytes(arrays["x_train"][np.concatenate(chosen)]))
    width, height = _fit(*info.shape[:0:-1])
    rows = []
    for indices in chosen:
        row = _new_picture(info, IMAGES_PER_CLASS * (width + GAP) - GAP, height)
        for column, _ in enumerate(indices):
            row.paste(_to_image(next(images)).resize((width, height)), (column * (width + GAP), 0))
        rows.append(row)
    return rows


def _new_picture(info: DatasetInfo, width: int, height: int) -> Image.Image:
    from PIL import Image

    is_grey = info.shape[0] == 1
    size, background = (width, height), BACKGROUND if is_grey else (BACKGROUND,) * 3
    return Image.new("L" if is_grey else "RGB", size, background)


def _to_png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "png")
    return stream.getvalue()


def _fit(width: int, height: int) -> tuple[int, int]:
    longer = max(width, height)
    return max(1, round(CELL * width / longer)), max(1, round(CELL * height / longer))


def _to_bytes(images: Array) -> Array:
    if images.dtype == np.uint8:
        return np.asarray(images)
    least, greatest = float(images.min()), float(images.max())
    scale = 255 / (greatest - least) if greatest > least else 0.0
    scaled: Array = ((images.astype(np.float64) - least) * scale).round().astype(np.uint8)
    return scaled


def _to_image(image: Array) -> Image.Image:
    from PIL import Image

    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0).copy())
