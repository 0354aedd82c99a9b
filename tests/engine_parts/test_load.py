"""Loading data: balanced subsets drawn by seed, normalisation, size checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.load import balanced_subset
from engine.data.spec import BUILTIN_DATASETS, DataSpec, max_balanced_size, validate_data
from engine.errors import InvalidSpec
from tests.engine_parts.datasets import load


def test_the_digest_of_digits_is_fixed() -> None:
    """A change of split, order or reading would silently change what old results refer to."""
    data = load(DataSpec())
    assert data.sha256 == load(DataSpec(augmentation="crop_flip", seed=7)).sha256
    assert data.sha256[:16] == "8a21703ff990bebd"


def test_the_train_set_used_has_mean_zero_and_deviation_one() -> None:
    data = load(DataSpec(train_size=500))
    # float32 sums of 392,000 numbers
    assert abs(data.x_train[:].double().mean().item()) < 1e-6
    assert abs(data.x_train[:].double().std(correction=0).item() - 1) < 1e-6
    assert data.info.train_size == len(data.x_train) == 500
    back = data.x_train[:] * data.std[0] + data.mean[0]
    assert abs(back.min().item()) < 1e-6


def test_each_channel_has_its_own_moments_and_a_constant_channel_stays_finite(
    tmp_path: Path,
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
    images[..., 1] //= 2
    images[..., 2] = 9
    labels = np.arange(40) % 4
    np.savez(
        tmp_path / "mine.npz", x_train=images, y_train=labels, x_test=images[:8], y_test=labels[:8]
    )
    data = load(DataSpec(name="mine"), tmp_path)
    assert data.x_train.shape == (40, 3, 6, 5)
    reference = images.reshape(-1, 3) / 255
    # the order of summation differs, in double precision
    assert np.allclose(data.mean, reference.mean(0), rtol=1e-12)
    assert np.allclose(data.std[:2], reference.std(0)[:2], rtol=1e-12)
    assert data.std[2] == 1.0
    assert torch.all(data.x_train[:][:, 2].abs() < 1e-7)  # 9/255 in float32 minus 9/255 in double


def test_values_are_normalised_by_one_division_and_one_difference(tmp_path: Path) -> None:
    """To the bit: stored weights and cached results depend on it."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    images = rng.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
    features = (rng.normal(size=(40, 3)) * [1, 1e6, 1e-6] + [0, 5e6, 1]).astype(np.float32)
    for x in (images, features):
        np.savez(tmp_path / "mine.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)
        data = load(DataSpec(name="mine"), tmp_path)
        stored = torch.from_numpy(x).float()
        stored = stored.permute(0, 3, 1, 2) / 255 if x.ndim == 4 else stored
        view = (1, 3, 1, 1) if x.ndim == 4 else (1, 3)
        mean, std = torch.tensor(data.mean).view(view), torch.tensor(data.std).view(view)
        assert torch.equal(data.x_train[:], (stored - mean) / std)


def test_features_of_float32_have_their_moments_and_their_range(tmp_path: Path) -> None:
    x = np.array([[1, 7], [2, 7], [3, 7], [6, 7]], np.float32)
    y = np.array([0, 1, 0, 1])
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x * 2, y_test=y)
    data = load(DataSpec(name="mine"), tmp_path)
    assert (data.mean, data.std) == ((3.0, 7.0), (3.5**0.5, 1.0))
    unit = load(DataSpec(name="mine", normalization="unit"), tmp_path)
    assert (unit.mean, unit.std) == ((1.0, 7.0), (5.0, 1.0))
    assert torch.equal(unit.x_train[:][:, 0], torch.tensor([0.0, 0.2, 0.4, 1.0]))
    assert torch.equal(unit.x_test[:][:, 0], torch.tensor([0.2, 0.6, 1.0, 2.2]))


@given(
    counts=st.lists(st.integers(1, 30), min_size=2, max_size=8),
    share=st.floats(0, 1, allow_subnormal=False),  # a process that has trained flushes them
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=60, deadline=None)
def test_class_counts_of_a_subset_differ_by_one_at_most(
    counts: list[int], share: float, seed: int
) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    limit = max_balanced_size(counts)
    size = max(1, round(share * limit))
    chosen = balanced_subset(labels, len(counts), size, seed, "train")
    got = np.bincount(labels[chosen], minlength=len(counts))
    assert len(set(chosen.tolist())) == size
    assert got.max() - got.min() <= 1
    assert (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, balanced_subset(labels, len(counts), size, seed, "train"))
    with pytest.raises(ValueError, match=str(limit)):
        balanced_subset(labels, len(counts), limit + 1, seed, "train")


def test_seed_and_split_decide_the_subset() -> None:
    labels = np.arange(1000) % 10
    first = balanced_subset(labels, 10, 100, 0, "train")
    assert not np.array_equal(first, balanced_subset(labels, 10, 100, 1, "train"))
    assert not np.array_equal(first, balanced_subset(labels, 10, 100, 0, "test"))


def test_a_subset_larger_than_the_data_is_rejected_by_validation_and_by_loading() -> None:
    spec = DataSpec(train_size=4_001, test_size=1_001)
    errors = validate_data(spec, BUILTIN_DATASETS["digits"])
    assert [error.pointer for error in errors] == [
        "#/spec/data/train_size",
        "#/spec/data/test_size",
    ]
    assert "4,001" in errors[0].detail
    assert "4,000" in errors[0].detail
    with pytest.raises(InvalidSpec) as caught:
        load(spec)
    assert caught.value.errors == (errors[0],)
    assert validate_data(DataSpec(train_size=4_000), BUILTIN_DATASETS["digits"]) == []
    assert (
        validate_data(
            DataSpec(name="synthetic", train_size=9_999_999), BUILTIN_DATASETS["synthetic"]
        )
        == []
    )
    (error,) = validate_data(DataSpec(name="mnist", train_size=60_000), BUILTIN_DATASETS["mnist"])
    assert "54,219" in error.detail


def test_unit_normalisation_keeps_pixels_between_zero_and_one() -> None:
    """And the same images: the two normalisations differ by an affine map."""
    standard, unit = load(DataSpec()), load(DataSpec(normalization="unit"))
    assert (float(unit.x_train[:].min()), float(unit.x_train[:].max())) == (0.0, 1.0)
    assert (unit.mean, unit.std) == ((0.0,), (1.0,))
    assert unit.sha256 == standard.sha256
    back = standard.x_test[:] * standard.std[0] + standard.mean[0]
    assert torch.allclose(back, unit.x_test[:], atol=1e-6)
