"""`.npz` files of users: which are accepted, and the errors for the others."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.npz import NpzLimits, inspect_npz, read_npz
from engine.errors import InvalidSpec


def arrays(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    good = {
        "x_train": rng.integers(0, 256, (24, 6, 5), dtype=np.uint8),
        "y_train": np.arange(24) % 3,
        "x_test": rng.integers(0, 256, (7, 6, 5), dtype=np.uint8),
        "y_test": np.arange(7) % 3,
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "mine.npz"
    np.savez_compressed(path, **arrays(**changes))
    return path


def rejection(path: Path, limits: NpzLimits | None = None) -> tuple[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        inspect_npz(path, "mine", limits)
    (error,) = caught.value.errors
    assert error.pointer == "#/file"
    return error.code, error.detail


def test_a_valid_file_is_described(tmp_path: Path) -> None:
    info = inspect_npz(
        write(tmp_path, y_train=np.array([0] * 4 + [1] * 10 + [2] * 10, dtype=np.uint8)), "mine"
    )
    assert (info.name, info.shape, info.num_classes) == ("mine", (1, 6, 5), 3)
    assert (info.train_size, info.test_size, info.source) == (24, 7, "registered")
    assert (info.train_counts, info.test_counts) == ((4, 10, 10), (3, 2, 2))
    assert (info.size_limit("train"), info.size_limit("test")) == (14, 7)


def test_a_file_that_was_unpacked_and_packed_again_is_read(tmp_path: Path) -> None:
    original, again = write(tmp_path), tmp_path / "again.npz"
    with zipfile.ZipFile(original) as source, zipfile.ZipFile(again, "w") as target:
        for clutter in ("mine/", "mine/.DS_Store", "__MACOSX/mine/._x_test.npy"):
            target.writestr(clutter, b"")
        for name in source.namelist():
            target.writestr(f"mine/{name}", source.read(name))
    assert inspect_npz(again, "mine") == inspect_npz(original, "mine")
    assert np.array_equal(read_npz(again)["x_train"], read_npz(original)["x_train"])


@pytest.mark.parametrize(
    ("stored", "shape"),
    [
        ((4, 6, 5), (1, 6, 5)),
        ((4, 6, 5, 3), (3, 6, 5)),
        ((4, 3, 6, 5), (3, 6, 5)),
        ((4, 1, 6, 5), (1, 6, 5)),
    ],
)
def test_images_are_read_channels_first_from_every_layout(
    tmp_path: Path, stored: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, stored, dtype=np.uint8)
    labels = np.arange(4) % 2
    path = write(
        tmp_path, x_train=images, x_test=np.asfortranarray(images), y_train=labels, y_test=labels
    )
    assert inspect_npz(path, "mine").shape == shape
    back = read_npz(path)
    expected = images.transpose(0, 3, 1, 2) if stored[-1] == 3 else images.reshape(4, *shape)
    assert np.array_equal(back["x_train"], expected)
    assert np.array_equal(back["x_test"], expected)
    assert back["y_test"].dtype == np.int64


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        (
            {"y_test": None},
            "wrong-arrays",
            "only x_train, y_train, x_test, y_test; it holds x_test.npy, x_train.npy",
        ),
        ({"extra": np.ones(3)}, "wrong-arrays", "extra.npy"),
        (
            {"x_train": np.zeros((24, 6, 5))},
            "wrong-dtype",
            "x_train is float64; examples are uint8",
        ),
        ({"y_train": np.zeros(24)}, "wrong-dtype", "y_train is float64"),
        ({"y_train": np.zeros((24, 1), dtype=int)}, "wrong-dtype", "(24, 1)"),
        ({"y_train": np.array([None] * 24)}, "wrong-dtype", "y_train is of dtype object"),
        ({"y_train": np.arange(23) % 3}, "wrong-shape", "23 labels for 24 examples"),
        (
            {"x_train": np.zeros((24, 30), dtype=np.uint8)},
            "wrong-shape",
            "train examples are (30,), test examples (1, 6, 5)",
        ),
        (
            {"x_train": np.zeros((24, 6, 5), np.float32)},
            "wrong-dtype",
            "x_train is float32, x_test uint8",
        ),
        (
            {
                "x_train": np.zeros((24, 100_001), dtype=np.uint8),
                "x_test": np.zeros((7, 100_001), dtype=np.uint8),
            },
            "wrong-shape",
            "100,001 features; 1 to 100,000 are taken",
        ),
        ({"x_train": np.zeros((24, 2, 2, 2, 2), np.uint8)}, "wrong-shape", "(24, 2, 2, 2, 2)"),
        ({"class_names": np.array(["a", "b"])}, "wrong-names", "2 names for 3 classes"),
        ({"class_names": np.array(["a", "b", "a"])}, "wrong-names", "different texts"),
        ({"class_names": np.array(["a", "b", ""])}, "wrong-names", "none of them empty"),
        ({"class_names": np.arange(3)}, "wrong-names", "one text of at most 200 characters"),
        ({"class_names": np.array(["a" * 201] * 3)}, "wrong-names", "at most 200 characters"),
        ({"feature_names": np.array(["a"])}, "wrong-names", "1 names for 0 features"),
        ({"x_train": np.zeros((24, 6, 5, 2), dtype=np.uint8)}, "wrong-shape", "(24, 6, 5, 2)"),
        ({"x_test": np.zeros((7, 6, 6), dtype=np.uint8)}, "wrong-shape", "test examples (1, 6, 6)"),
        (
            {"x_test": np.zeros((1, 6, 5), dtype=np.uint8), "y_test": np.zeros(1, int)},
            "wrong-shape",
            "1 example(s)",
        ),
        ({"y_train": np.arange(24) % 3 - 1}, "wrong-labels", "from -1 to 1"),
        ({"y_train": np.arange(24) * 100}, "wrong-labels", "to 2300"),
        ({"y_train": np.arange(24) % 2 * 2}, "wrong-labels", "no train example has label 1"),
        ({"y_train": np.zeros(24, int), "y_test": np.zeros(7, int)}, "wrong-labels", "two classes"),
        (
            {"x_train": np.zeros((24, 513, 5), dtype=np.uint8)},
            "wrong-shape",
            "513x5; a side must have 1 to 512",
        ),
    ],
)
def test_the_error_names_the_invalid_array(
    tmp_path: Path, changes: dict[str, Any], code: str, text: str
) -> None:
    found_code, detail = rejection(write(tmp_path, **changes))
    assert found_code == code
    assert text in detail


def features(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "x_train": rng.normal(size=(24, 3)).astype(np.float32),
        "x_test": rng.normal(size=(7, 3)).astype(np.float32),
        **changes,
    }


def test_features_are_stored_as_float32_with_the_names_of_classes_and_columns(
    tmp_path: Path,
) -> None:
    names = {"class_names": np.array(["ä", "b", "c"]), "feature_names": np.array(["x", "y", "z"])}
    path = write(tmp_path, **features(**names))
    info = inspect_npz(path, "mine")
    assert (info.shape, info.dtype, info.has_images) == ((3,), "float32", False)
    assert (info.class_names, info.feature_names) == (("ä", "b", "c"), ("x", "y", "z"))
    assert np.array_equal(read_npz(path)["x_train"], features()["x_train"])


def test_the_error_names_the_place_of_a_number_that_is_not_finite(tmp_path: Path) -> None:
    for value, order in ((np.nan, "C"), (np.inf, "F")):
        damaged = np.array(features()["x_test"], order=order)  # type: ignore[call-overload]
        damaged[4, 2] = value
        code, detail = rejection(write(tmp_path, **features(x_test=damaged)))
        assert (code, "x_test[4, 2] is NaN" in detail) == ("not-finite", True)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(24, 6, 5), (24, 6, 5, 3), (24, 3, 6, 5), (24, 7)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, ">f4"])
def test_a_mapped_file_has_the_values_of_the_file_in_memory(
    tmp_path: Path, shape: tuple[int, ...], order: str, dtype: Any
) -> None:
    values = np.random.default_rng(2).integers(0, 256, shape).astype(dtype)
    values = np.array(values, order=order)  # type: ignore[call-overload]
    path = tmp_path / "stored.npz"
    np.savez(path, **arrays(x_train=values, x_test=values[:7]))
    inspect_npz(path, "stored")
    mapped, read = read_npz(path, mapped=True)["x_train"], read_npz(path)["x_train"]
    assert np.array_equal(mapped, read)
    assert mapped.dtype == read.dtype
    assert mapped.dtype.isnative
    is_in_place = order == "C" and dtype != ">f4" and shape[-1] != 3
    assert isinstance(mapped.base, np.memmap) == is_in_place


def test_the_error_for_too_many_bytes_names_the_limit(tmp_path: Path) -> None:
    code, detail = rejection(write(tmp_path), NpzLimits(max_bytes=1_000))
    assert code == "too-large"
    assert "1,000" in detail


def test_a_zip_bomb_is_rejected_before_decompression(tmp_path: Path) -> None:
    """A small file declares 16 GiB; reading them would exceed the test's time limit."""
    path = tmp_path / "bomb.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 128, 128)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x_test", "y_train", "y_test"):
            buffer = io.BytesIO()
            np.save(buffer, arrays()[name])
            archive.writestr(f"{name}.npy", buffer.getvalue())
        archive.writestr("x_train.npy", header.getvalue())
    assert rejection(path)[0] == "unreadable"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x_train", "x_test", "y_train", "y_test"):
            archive.writestr(f"{name}.npy", bytes(1_000_000))
    assert rejection(path, NpzLimits(max_bytes=3_999_999))[0] == "too-large"


def test_damaged_and_foreign_files_are_rejected(tmp_path: Path) -> None:
    good = write(tmp_path)
    data = good.read_bytes()
    offset = zipfile.ZipFile(good).getinfo("x_train.npy").header_offset
    for broken in (
        b"",
        b"PK\x03\x04",
        data[:-30],
        data[: offset + 200] + b"\0" * 40 + data[offset + 240 :],
    ):
        path = tmp_path / "broken.npz"
        path.write_bytes(broken)
        assert rejection(path)[0] == "unreadable"
    pickled = tmp_path / "pickled.npz"
    np.save(pickled.open("wb"), np.array([{}], dtype=object))
    assert rejection(pickled)[0] == "unreadable"


def test_an_entry_without_a_name_is_rejected(tmp_path: Path) -> None:
    path = write(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(""), b"bytes")
    code, detail = rejection(path)
    assert code == "unreadable"
    assert "an entry has no name" in detail
