"""Sets that torchvision reads become data sets; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.importing.torchvision_sets import SETS, read_torchvision
from engine.data.npz import inspect_npz, read_npz
from engine.data.torchvision_import import import_torchvision
from engine.errors import DatasetUnavailable
from ops.convert_set import main

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
LABELS = (np.arange(30) % 10).astype(np.uint8)


def write_idx(path: Path, array: np.ndarray[Any, Any]) -> None:
    """An IDX file of bytes, by the format's definition."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


@pytest.fixture
def kmnist(tmp_path: Path) -> Path:
    """A folder with the files of KMNIST, whose hashes torchvision checks after a download only."""
    raw = tmp_path / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 30), ("t10k", 20)):
        write_idx(raw / f"{part}-images-idx3-ubyte", IMAGES[:count])
        write_idx(raw / f"{part}-labels-idx1-ubyte", LABELS[:count])
    return tmp_path


def test_a_set_is_read_from_a_folder_with_its_files(kmnist: Path) -> None:
    out = kmnist / "out.npz"
    assert main(["kmnist", str(out), "--root", str(kmnist)]) == 0
    info = inspect_npz(out, "mine")
    assert (info.shape, info.num_classes, info.test_size) == ((1, 28, 28), 10, 20)
    assert info.class_names == ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    arrays = read_npz(out)
    assert np.array_equal(arrays["x_train"][:, 0], IMAGES)
    assert np.array_equal(arrays["y_test"], LABELS[:20])


def test_every_set_is_one_of_torchvision_and_missing_files_are_told(tmp_path: Path) -> None:
    datasets = import_torchvision("datasets")
    for name, (class_name, _) in SETS.items():
        assert hasattr(datasets, class_name)
        with pytest.raises(DatasetUnavailable, match="--download lets torchvision download them"):
            read_torchvision(name, tmp_path, download=False)


def test_an_unknown_name_is_refused_with_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["imagenet", str(tmp_path / "out"), "--root", str(tmp_path)]) == 1
    assert "'imagenet' is not known: cifar100, kmnist" in capsys.readouterr().err
