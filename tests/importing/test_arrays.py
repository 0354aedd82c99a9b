"""`.npz` files of the layouts that people have become data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.importing.convert import Converted, convert
from engine.data.importing.options import ImportOptions
from engine.data.npz import NpzLimits, read_npz
from engine.errors import InvalidSpec

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 5, 4), dtype=np.uint8)
LABELS = np.arange(12) % 3
TEST_IMAGES, TEST_LABELS = IMAGES[:6], LABELS[:6]


def convert_arrays(folder: Path, limits: NpzLimits | None = None, **arrays: Any) -> Converted:
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    options = ImportOptions(file_name="mine.npz", limits=limits or NpzLimits())
    return convert(path, folder / "out.npz", "mine", options)


def with_labels(folder: Path, y: Any, y_test: Any = None, **more: Any) -> Converted:
    y = np.asarray(y)
    arrays: dict[str, Any] = {"x_train": IMAGES, "y_train": y, "x_test": TEST_IMAGES}
    return convert_arrays(folder, **arrays, y_test=y[:6] if y_test is None else y_test, **more)


def refusal(folder: Path, **arrays: Any) -> tuple[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        convert_arrays(folder, **arrays)
    (error,) = caught.value.errors
    assert not (folder / "out.npz").exists()
    return error.code, error.detail


def test_a_file_that_is_as_it_is_stored_is_not_converted(tmp_path: Path) -> None:
    converted = with_labels(tmp_path, LABELS)
    assert converted.path == tmp_path / "mine.npz"
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X_train", "y_train", "X_test", "y_test"),
        ("trainX", "trainY", "testX", "testY"),
        ("train_data", "train_targets", "test_data", "test_targets"),
        ("images_train", "labels_train", "images_test", "labels_test"),
    ],
)
def test_names_of_arrays_as_people_have_them(tmp_path: Path, names: tuple[str, ...]) -> None:
    values = (IMAGES, LABELS, TEST_IMAGES, TEST_LABELS)
    named: dict[str, Any] = dict(zip(names, values, strict=True))
    converted = convert_arrays(tmp_path, **named)
    arrays = read_npz(converted.path)
    assert np.array_equal(arrays["x_train"], IMAGES[:, None])
    assert np.array_equal(arrays["y_test"], TEST_LABELS)
    assert converted.info.dtype == "uint8"


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        (LABELS[:, None], ("0", "1", "2"), LABELS),
        (LABELS + 1, ("1", "2", "3"), LABELS),
        (LABELS * -7, ("-14", "-7", "0"), 2 - LABELS),
        (LABELS.astype(float), ("0", "1", "2"), LABELS),
        (np.eye(3)[LABELS], ("0", "1", "2"), LABELS),
        (np.eye(3, dtype=bool)[LABELS], ("0", "1", "2"), LABELS),
        (np.array(["dog", "cat", "eel"])[LABELS], ("cat", "dog", "eel"), np.array([1, 0, 2])),
        (np.array([b"dog", b"cat", b"eel"])[LABELS], ("cat", "dog", "eel"), np.array([1, 0, 2])),
        (np.array(["10", "9", "8"])[LABELS], ("8", "9", "10"), 2 - LABELS),
        (LABELS == 1, ("0", "1"), LABELS == 1),
    ],
)
def test_labels_as_people_have_them(
    tmp_path: Path, labels: Any, names: tuple[str, ...], expected: Any
) -> None:
    converted = with_labels(tmp_path, labels)
    assert converted.info.class_names == names
    expected = expected[LABELS] if len(expected) == 3 else expected
    assert np.array_equal(read_npz(converted.path)["y_train"], expected)


def test_names_of_classes_in_the_file_are_kept(tmp_path: Path) -> None:
    names = np.array(["a", "b", "c"])
    assert with_labels(tmp_path, LABELS + 1, classes=names).info.class_names == ("a", "b", "c")
    with pytest.raises(InvalidSpec, match="3 names of classes for 2 different labels"):
        with_labels(tmp_path, LABELS % 2, classes=names)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (IMAGES.astype(np.int64), IMAGES),
        (IMAGES.astype(np.int64) + 1_000, IMAGES.astype(np.float32) + 1_000),
        (IMAGES > 100, np.uint8(255) * (IMAGES > 100)),
        (IMAGES / 255, (IMAGES / 255).astype(np.float32)),
        (IMAGES.astype(np.float16), IMAGES.astype(np.float32)),
        (IMAGES.reshape(12, 20).astype(np.int32), IMAGES.reshape(12, 20).astype(np.float32)),
        (IMAGES.reshape(12, 20), IMAGES.reshape(12, 20)),
    ],
)
def test_numbers_become_bytes_or_float32(tmp_path: Path, x: Any, expected: Any) -> None:
    converted = convert_arrays(tmp_path, x_train=x, y_train=LABELS, x_test=x, y_test=LABELS)
    stored = read_npz(converted.path)["x_train"]
    assert stored.dtype == expected.dtype
    assert np.array_equal(stored.reshape(expected.shape), expected)


def test_one_array_is_split_and_others_are_told(tmp_path: Path) -> None:
    converted = convert_arrays(tmp_path, data=IMAGES, target=LABELS, ids=np.arange(12))
    assert (converted.info.train_counts, converted.info.test_counts) == ((3, 3, 3), (1, 1, 1))
    assert converted.notes == ("arrays that were left out: ids",)
    arrays = read_npz(converted.path)
    pairs = [(x.tobytes(), y) for x, y in zip(IMAGES, LABELS, strict=True)]
    for part in ("train", "test"):
        for x, y in zip(arrays[f"x_{part}"], arrays[f"y_{part}"], strict=True):
            assert (x.tobytes(), y) in pairs


NAN = np.where(IMAGES[3, 2, 1] == IMAGES, np.nan, IMAGES.astype(float))


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"y_train": LABELS[:11]}, "wrong-shape", "y_train has 11 labels for 12 in x_train"),
        ({"x_train": NAN, "x_test": NAN[:6]}, "not-finite", "] is nan: not finite"),
        ({"x_train": IMAGES * 1e300, "x_test": IMAGES[:6] * 1.0}, "not-finite", "for float32"),
        ({"x_train": IMAGES / 255}, "wrong-dtype", "x_test holds bytes"),
        ({"x_train": IMAGES.astype(complex)}, "wrong-dtype", "complex128; examples are numbers"),
        ({"y_train": np.array([{}] * 12)}, "wrong-dtype", "object"),
        ({"y_train": LABELS / 2}, "wrong-labels", "y_train[1] = 0.5 is no whole number"),
        ({"y_train": np.eye(3)[LABELS] * 2}, "wrong-labels", "is not one-hot"),
        ({"y_train": np.ones((12, 2, 2))}, "wrong-shape", "labels are [n], [n, 1] or one-hot"),
        ({"y_train": LABELS * 0 + 5, "y_test": TEST_LABELS * 0 + 5}, "one-class", "('5')"),
        ({"y_test": TEST_LABELS + 1}, "wrong-labels", "y_train has no label '3', which y_test has"),
        ({"x_train": IMAGES[:, :4]}, "wrong-shape", "train examples are (1, 4, 4), test"),
        ({"X_TRAIN": IMAGES}, "wrong-arrays", "in any case"),
        ({"y_train": np.array([""] * 12), "y_test": np.array(["a"] * 6)}, "wrong-labels", "empty"),
    ],
)
def test_the_error_names_the_array(
    tmp_path: Path, changes: dict[str, Any], code: str, text: str
) -> None:
    arrays = {"x_train": IMAGES, "y_train": LABELS, "x_test": TEST_IMAGES, "y_test": TEST_LABELS}
    # an array too many, so that no file is as it is stored
    path = tmp_path / "out.npz"
    with pytest.raises(InvalidSpec) as caught:
        convert_arrays(tmp_path, **{**arrays, **changes}, other=LABELS)
    (error,) = caught.value.errors
    assert (error.code, text in error.detail) == (code, True), error.detail
    assert not path.exists() or code == "wrong-shape"


def test_arrays_over_the_limit_are_refused_by_what_the_file_declares(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="the limit is 1,000"):
        convert_arrays(tmp_path, NpzLimits(max_bytes=1_000), data=np.zeros((9, 200)), y=LABELS)


def test_a_file_without_labels_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    code, detail = refusal(tmp_path, arr_0=IMAGES)
    assert code == "wrong-arrays"
    assert "it holds arr_0" in detail
