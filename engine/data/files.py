"""Where the files of built-in data sets lie in the data folder. Imports no torch."""

from __future__ import annotations

from pathlib import Path

TORCHVISION_CLASSES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10"}
"""The data sets that are downloaded, and torchvision's class of each"""
CIFAR10_FOLDER = "cifar-10-batches-py"
_SPLITS = ("train", "t10k")
_PARTS = ("images-idx3", "labels-idx1")


def list_idx_files(name: str, data_dir: Path) -> list[Path]:
    """Images and labels of the train and of the test set, in torchvision's layout."""
    folder = data_dir / TORCHVISION_CLASSES[name] / "raw"
    return [folder / f"{split}-{part}-ubyte" for split in _SPLITS for part in _PARTS]


def is_on_disk(name: str, data_dir: Path) -> bool:
    """Whether a built-in data set needs no download; its files are not opened."""
    if name not in TORCHVISION_CLASSES or (data_dir / f"{name}.npz").is_file():
        return True
    if name == "cifar10":
        return (data_dir / CIFAR10_FOLDER).is_dir()
    return all(file.is_file() for file in list_idx_files(name, data_dir))
