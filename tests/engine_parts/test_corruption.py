"""Label noise, permuted labels and shuffled pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from engine.data.corruption import corrupt_labels, shuffle_pixels
from engine.data.spec import CorruptionSpec, DataSpec
from tests.engine_parts.datasets import load

LABELS = np.arange(1_000) % 10


def corrupted(**fields: Any) -> np.ndarray[Any, Any]:
    return corrupt_labels(LABELS, 10, CorruptionSpec(**fields))


def loaded(**fields: Any) -> Any:
    return load(DataSpec(train_size=300, test_size=100, corruption=CorruptionSpec(**fields)))


def test_without_corruption_the_arrays_themselves_return() -> None:
    images = np.zeros((2, 1, 2, 2), np.uint8)
    assert corrupted() is LABELS
    assert corrupted(seed=5) is LABELS
    assert shuffle_pixels(images, CorruptionSpec()) is images


def test_noise_draws_exactly_its_share_anew_and_more_noise_contains_less() -> None:
    """Of 200 drawn labels a tenth is expected to be the old one; all 1,000 differ in 900."""
    fifth, half, all_of_them = (corrupted(label_noise=share) for share in (0.2, 0.5, 1.0))
    changed = np.flatnonzero(fifth != LABELS)
    assert 160 <= len(changed) <= 195
    assert np.array_equal(half[changed], all_of_them[changed])
    assert set(np.flatnonzero(fifth != LABELS)) <= set(np.flatnonzero(half != LABELS))
    assert 870 <= (all_of_them != LABELS).sum() <= 930
    assert set(all_of_them.tolist()) == set(range(10))


def test_half_an_example_is_rounded_to_even() -> None:
    labels = np.zeros(10, np.int64)
    chosen = [
        corrupt_labels(labels, 1_000, CorruptionSpec(label_noise=share)) for share in (0.05, 0.15)
    ]
    assert [(found != 0).sum() for found in chosen] == [0, 2]


def test_permuted_labels_keep_the_class_counts_and_lose_the_examples() -> None:
    permuted = corrupted(permuted_labels=True)
    assert np.array_equal(np.bincount(permuted), np.bincount(LABELS))
    assert 60 <= (permuted == LABELS).sum() <= 140


def test_the_seed_of_the_corruption_alone_decides_what_it_draws() -> None:
    for field in ({"label_noise": 0.5}, {"permuted_labels": True}):
        first = corrupted(**field)
        assert np.array_equal(first, corrupted(**field))
        assert not np.array_equal(first, corrupted(**field, seed=1))
    assert np.array_equal(LABELS, np.arange(1_000) % 10)


def test_pixels_move_by_one_permutation_of_places() -> None:
    """Image i holds i * 100 + place in every channel, so the values tell where they came from."""
    places = np.arange(12).reshape(3, 4)
    images = np.stack([np.stack([places + 100 * i] * 2) for i in range(2)]).astype(np.uint8)
    moved = shuffle_pixels(images, CorruptionSpec(shuffled_pixels=True))
    order = moved[0, 0].ravel()
    assert sorted(order.tolist()) == list(range(12))
    assert order.tolist() != list(range(12))
    for i in range(2):
        for channel in range(2):
            assert np.array_equal(moved[i, channel].ravel(), order + 100 * i)


def test_labels_of_the_test_set_stay_and_its_pixels_move_as_those_of_the_train_set() -> None:
    clean, noisy = loaded(), loaded(label_noise=1.0, permuted_labels=True)
    assert torch.equal(noisy.y_test, clean.y_test)
    assert torch.equal(noisy.x_train, clean.x_train)
    assert not torch.equal(noisy.y_train, clean.y_train)
    assert noisy.info.train_counts == tuple(noisy.y_train.bincount(minlength=10).tolist())
    moved = loaded(shuffled_pixels=True)
    assert torch.equal(moved.y_train, clean.y_train)
    order = shuffle_pixels(
        np.arange(784).reshape(1, 1, 28, 28), CorruptionSpec(shuffled_pixels=True)
    )
    for before, after in ((clean.x_train, moved.x_train), (clean.x_test, moved.x_test)):
        assert torch.equal(before.flatten(1)[:, order.ravel()], after.flatten(1))
    assert len({clean.sha256, noisy.sha256, moved.sha256}) == 3


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="label_noise"):
        CorruptionSpec(label_noise=share)
