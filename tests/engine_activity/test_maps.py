"""From counts to pictures: kernels as tiles, bins, files that numpy reads."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.experiments.activity_map.maps import (
    bin_weights,
    coarsen,
    lay_out,
    pack_counts,
    pack_maps,
    unpack_maps,
)

matrices = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)))
kernels = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3), st.just(3)))


def test_a_matrix_is_its_own_picture() -> None:
    weights = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert lay_out(weights).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_kernel_of_an_output_and_an_input_is_the_tile_at_that_row_and_column() -> None:
    weights = np.arange(4 * 5 * 9).reshape(4, 5, 3, 3)
    picture = lay_out(weights)
    assert picture.shape == (12, 15)
    for out in range(4):
        for channel in range(5):
            tile = picture[3 * out : 3 * out + 3, 3 * channel : 3 * channel + 3]
            assert np.array_equal(tile, weights[out, channel])


@settings(deadline=None, max_examples=60)
@given(matrices | kernels, st.integers(1, 12), st.integers(1, 6))
def test_bins_conserve_the_mean_and_the_maximum(weights: Any, max_side: int, coarser: int) -> None:
    first = bin_weights(weights, max_side)
    for binned in (first, coarsen(first, coarser)):
        assert binned.sums.sum() == weights.sum(dtype=np.int64)
        assert binned.sizes().sum() == weights.size
        assert binned.maxima.max() == weights.max()
        assert (binned.sums <= binned.maxima.astype(np.int64) * binned.sizes()).all()


@settings(deadline=None, max_examples=60)
@given(matrices | kernels, st.integers(1, 12), st.integers(1, 6))
def test_each_bin_is_the_sum_and_the_maximum_of_its_block(
    weights: Any, max_side: int, coarser: int
) -> None:
    picture = lay_out(weights)
    for binned in (
        bin_weights(weights, max_side),
        coarsen(bin_weights(weights, max_side), coarser),
    ):
        height, width = binned.bin_shape
        for (row, column), total in np.ndenumerate(binned.sums):
            block = picture[
                row * height : (row + 1) * height, column * width : (column + 1) * width
            ]
            assert total == block.sum(dtype=np.int64)
            assert binned.maxima[row, column] == block.max()
            assert binned.sizes()[row, column] == block.size


@settings(deadline=None, max_examples=60)
@given(kernels, st.integers(1, 12), st.integers(1, 6))
def test_a_bin_holds_whole_kernels_or_single_parameters(
    weights: Any, max_side: int, coarser: int
) -> None:
    first = bin_weights(weights, max_side)
    for binned, most in ((first, max_side), (coarsen(first, coarser), min(max_side, coarser))):
        assert max(binned.sums.shape) <= most
        assert all(side == 1 or side % 3 == 0 for side in binned.bin_shape)


def test_a_small_picture_is_not_binned() -> None:
    weights = np.arange(30, dtype=np.uint8).reshape(5, 6)
    binned = bin_weights(weights)
    assert binned.bin_shape == (1, 1)
    assert np.array_equal(binned.sums, weights)
    assert np.array_equal(binned.maxima, weights)


def test_the_files_are_read_by_numpy_without_pickle() -> None:
    rng = np.random.default_rng(0)
    counts = {
        alpha: {
            "layers.0.conv.weight": rng.integers(0, 9, (3, 1, 3, 3), dtype=np.uint8),
            "layers.0.conv.bias": rng.integers(0, 9, 3, dtype=np.uint8),
            "layers.1.linear.weight": rng.integers(0, 9, (600, 700), dtype=np.uint8),
        }
        for alpha in ("0.1", "10")
    }
    with np.load(BytesIO(pack_counts(counts, 8)), allow_pickle=False) as whole:
        assert int(whole["epochs"]) == 8
        for alpha, by_name in counts.items():
            assert all(
                np.array_equal(whole[f"{alpha}/{name}"], array) for name, array in by_name.items()
            )
    epochs, maps = unpack_maps(pack_maps(counts, 8))
    assert epochs == 8
    assert list(maps) == ["layers.0.conv.weight", "layers.1.linear.weight"]
    for name, by_alpha in maps.items():
        for alpha, binned in by_alpha.items():
            expected = bin_weights(counts[alpha][name])
            assert (binned.shape, binned.bin_shape, binned.tile) == (
                expected.shape,
                expected.bin_shape,
                expected.tile,
            )
            assert np.array_equal(binned.sums, expected.sums)
            assert np.array_equal(binned.maxima, expected.maxima)


def test_a_map_without_its_last_bin_would_differ() -> None:
    weights = np.full((1, 25), 4, dtype=np.uint8)
    binned = bin_weights(weights, 4)
    assert binned.sums.tolist() == [[28, 28, 28, 16]]
    assert (binned.sums / binned.sizes()).tolist() == [[4.0] * 4]
    assert binned.sums[:, :-1].sum() != weights.sum()


@pytest.mark.parametrize("side", [257, 512, 784, 5000])
def test_a_stored_map_has_at_most_256_bins_a_side(side: int) -> None:
    assert bin_weights(np.zeros((side, 3), dtype=np.uint8)).sums.shape[0] <= 256


def test_tensors_of_other_dimensions_are_rows_of_their_last() -> None:
    counts = {"1": {"layers.0.a/b": np.arange(12).reshape(1, 3, 4)}}
    _, found = unpack_maps(pack_maps(counts, 2))
    picture = found["layers.0.a/b"]["1"]
    assert (picture.shape, picture.tile) == ((3, 4), (1, 1))
    assert picture.sums.tolist() == np.arange(12).reshape(3, 4).tolist()
