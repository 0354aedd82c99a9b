"""Counts as pictures: lay out a layer's weights in a plane, bin them, pack them in files.

A picture has the outputs of a layer as rows and its inputs as columns. A convolution's kernels are
tiles: the kernel of (out, in) is at row `out` and column `in`. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

COUNTS_FILE, MAPS_FILE = "counts.npz", "maps.npz"
MEDIA_TYPE = "application/x-npz"
MAX_SIDE = 256
"""Most bins per side of a stored map."""


@dataclass(frozen=True, slots=True)
class BinnedPicture:
    """A picture of counts in equal rectangular bins; the last bin of a side may be smaller."""

    shape: tuple[int, int]
    """Of the picture, in parameters."""
    bin_shape: tuple[int, int]
    """Of a bin, in parameters."""
    tile: tuple[int, int]
    """Of a convolution's kernel; (1, 1) for other weights."""
    sums: Array
    """int64 [rows, columns]: counts summed over each bin."""
    maxima: Array
    """Integers of the same shape: the largest count of each bin."""

    def sizes(self) -> Array:
        """int64 [rows, columns]: parameters in each bin."""
        rows, columns = (
            np.minimum(side - np.arange(0, side, step), step)
            for side, step in zip(self.shape, self.bin_shape, strict=True)
        )
        return rows[:, None] * columns[None, :]


def lay_out(weights: Array) -> Array:
    """The picture of a weight tensor: [out, in] unchanged, [out, in, height, width] as tiles.

    Of tensors with other dimensions the last is a row.
    """
    if weights.ndim != 4:
        return weights.reshape(-1, weights.shape[-1])
    out, inputs, height, width = weights.shape
    return weights.transpose(0, 2, 1, 3).reshape(out * height, inputs * width)


def bin_weights(weights: Array, max_side: int = MAX_SIDE) -> BinnedPicture:
    """The picture of these counts with at most `max_side` bins per side.

    A side of at most `max_side` parameters has one bin per parameter.
    """
    picture = lay_out(weights)
    height, width = weights.shape[2:] if weights.ndim == 4 else (1, 1)
    whole = BinnedPicture(
        (picture.shape[0], picture.shape[1]), (1, 1), (height, width), picture, picture
    )
    return coarsen(whole, max_side)


def coarsen(binned: BinnedPicture, max_side: int) -> BinnedPicture:
    """The picture with bins merged to at most `max_side` per side; merged kernels stay whole."""
    rows, columns = group_shape(binned, max_side)
    return BinnedPicture(
        binned.shape,
        (binned.bin_shape[0] * rows, binned.bin_shape[1] * columns),
        binned.tile,
        _reduce(np.add, binned.sums, (rows, columns), np.int64),
        _reduce(np.maximum, binned.maxima, (rows, columns), binned.maxima.dtype),
    )


def group_shape(binned: BinnedPicture, max_side: int) -> tuple[int, int]:
    """How many bins `coarsen` merges into one, as (rows, columns)."""
    sides = zip(binned.sums.shape, binned.bin_shape, binned.tile, strict=True)
    rows, columns = (_group_size(*side, max_side) for side in sides)
    return rows, columns


def pack_counts(counts: Mapping[str, Mapping[str, Array]], num_epochs: int) -> bytes:
    """The whole map as `.npz`: `epochs`, and an array of counts `{alpha}/{parameter}` for each."""
    arrays = {
        f"{alpha}/{name}": array
        for alpha, by_name in counts.items()
        for name, array in by_name.items()
    }
    return _pack({"epochs": np.array(num_epochs), **arrays})


def pack_maps(counts: Mapping[str, Mapping[str, Array]], num_epochs: int) -> bytes:
    """The binned map of every weight tensor as `.npz`; `unpack_maps` reads it."""
    arrays: dict[str, Array] = {"epochs": np.array(num_epochs)}
    for alpha, by_name in counts.items():
        for name, array in by_name.items():
            if array.ndim < 2:
                continue
            binned = bin_weights(array)
            arrays[f"{name}/shapes"] = np.array([binned.shape, binned.bin_shape, binned.tile])
            arrays[f"{alpha}/{name}/sums"] = binned.sums
            arrays[f"{alpha}/{name}/maxima"] = binned.maxima
    return _pack(arrays)


def unpack_maps(data: bytes) -> tuple[int, dict[str, dict[str, BinnedPicture]]]:
    """(epochs counted, binned pictures by weight tensor and alpha), the bottom tensor first."""
    found: dict[str, dict[str, BinnedPicture]] = {}
    with np.load(BytesIO(data), allow_pickle=False) as arrays:
        for key in arrays.files:
            if not key.endswith("/sums"):
                continue
            alpha, _, rest = key.partition("/")
            name = rest.removesuffix("/sums")
            shape, bin_shape, tile = (
                (rows, columns) for rows, columns in arrays[f"{name}/shapes"].tolist()
            )
            maxima = arrays[f"{alpha}/{name}/maxima"]
            found.setdefault(name, {})[alpha] = BinnedPicture(
                shape, bin_shape, tile, arrays[key], maxima
            )
        return int(arrays["epochs"]), found


def _group_size(num_bins: int, bin_size: int, tile: int, max_side: int) -> int:
    if num_bins <= max_side:
        return 1
    unit = 1 if bin_size % tile == 0 else tile
    return unit * -(-num_bins // (unit * max_side))


def _reduce(operation: np.ufunc, picture: Array, group: tuple[int, int], dtype: Any) -> Array:
    rows, columns = (
        np.arange(0, side, step) for side, step in zip(picture.shape, group, strict=True)
    )
    along_rows = operation.reduceat(picture, rows, axis=0, dtype=dtype)
    reduced: Array = operation.reduceat(along_rows, columns, axis=1, dtype=dtype)
    return reduced


def _pack(arrays: Mapping[str, Array]) -> bytes:
    """Equal arrays give equal bytes, as numpy writes no date."""
    stream = BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()
