"""Folders of images become data sets, and errors name the files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.data.importing import images
from engine.data.importing.convert import Converted, convert
from engine.data.importing.options import ImportOptions
from engine.data.npz import NpzLimits, read_npz
from engine.errors import InvalidSpec


def picture(
    value: int, mode: str = "L", size: tuple[int, int] = (4, 6), kind: str = "png"
) -> bytes:
    stream = io.BytesIO()
    colour: Any = value if mode in ("L", "I;16") else (value, 0, 255)
    Image.new(mode, size, colour).save(stream, kind)
    return stream.getvalue()


def folder_of(count: int = 5) -> dict[str, bytes]:
    files = {f"cat/{n}.png": picture(10 + n) for n in range(count)}
    files |= {f"dog/{n}.png": picture(100 + n) for n in range(count)}
    return files


def convert_files(folder: Path, files: dict[str, bytes], **options: Any) -> Converted:
    path = folder / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return convert(path, folder / "out.npz", "mine", ImportOptions(**options))


def errors_of(folder: Path, files: dict[str, bytes], **options: Any) -> list[str]:
    (folder / "out.npz").unlink(missing_ok=True)
    with pytest.raises(InvalidSpec) as caught:
        convert_files(folder, files, **options)
    assert not (folder / "out.npz").exists()
    return [error.detail for error in caught.value.errors]


@pytest.mark.parametrize("top", ["", "pets/"])
def test_one_folder_of_classes_is_split_by_the_seed(tmp_path: Path, top: str) -> None:
    files = {f"{top}{name}": content for name, content in folder_of().items()}
    converted = convert_files(tmp_path, files)
    info = converted.info
    assert (info.shape, info.dtype, info.class_names) == ((1, 6, 4), "uint8", ("cat", "dog"))
    assert (info.train_counts, info.test_counts) == ((4, 4), (1, 1))
    arrays = read_npz(converted.path)
    found = {
        (int(x[0, 0, 0]), int(y))
        for part in ("train", "test")
        for x, y in zip(arrays[f"x_{part}"], arrays[f"y_{part}"], strict=True)
    }
    assert found == {(10 + n, 0) for n in range(5)} | {(100 + n, 1) for n in range(5)}


def test_folders_train_and_test_are_the_parts(tmp_path: Path) -> None:
    files = {f"train/{name}": content for name, content in folder_of(4).items()}
    files |= {f"test/{name}": content for name, content in folder_of(2).items()}
    info = convert_files(tmp_path, files).info
    assert (info.train_counts, info.test_counts) == ((4, 4), (2, 2))
    files["test/eel/1.png"] = picture(1)
    assert errors_of(tmp_path, files) == ["class 'eel' has no image in `train`"]
    del files["test/eel/1.png"]
    files["eel/1.png"] = picture(1)
    assert errors_of(tmp_path, files) == ["eel/1.png: it is outside `train` and `test`"]


def test_images_are_grey_if_all_are_and_colour_can_be_chosen(tmp_path: Path) -> None:
    in_colour = folder_of() | {"dog/c.png": picture(9, "RGB")}
    assert convert_files(tmp_path, in_colour).info.shape == (3, 6, 4)
    assert convert_files(tmp_path, in_colour, colour="grey").info.shape == (1, 6, 4)
    assert convert_files(tmp_path, folder_of(), colour="colour").info.shape == (3, 6, 4)
    deep = folder_of() | {"dog/d.png": picture(0x1234, "I;16")}
    stored = read_npz(convert_files(tmp_path, deep).path)
    values = np.concatenate([stored["x_train"], stored["x_test"]])[:, 0, 0, 0]
    assert 0x12 in values


def test_images_of_many_sizes_need_a_side_and_are_cut_to_the_central_square(
    tmp_path: Path,
) -> None:
    wide = Image.new("L", (30, 10), 200)
    wide.paste(50, (10, 0, 20, 10))
    stream = io.BytesIO()
    wide.save(stream, "png")
    files = folder_of() | {"dog/wide.png": stream.getvalue()}
    (error,) = errors_of(tmp_path, files)
    assert error == ("cat/0.png has 4x6 pixels, dog/wide.png 30x10; choose one `side` for all")
    converted = convert_files(tmp_path, files, side=10)
    assert converted.info.shape == (1, 10, 10)
    arrays = read_npz(converted.path)
    values = np.concatenate([arrays["x_train"], arrays["x_test"]])
    assert (values == 50).all((1, 2, 3)).sum() == 1


def test_other_files_are_left_out_and_told(tmp_path: Path) -> None:
    files = folder_of() | {"cat/notes.txt": b"x", "cat/.DS_Store": b"", "labels.csv": b"y"}
    assert convert_files(tmp_path, files).notes == (
        "left out, as they are no images: cat/notes.txt, labels.csv (2 files)",
    )


def test_broken_images_are_named_before_anything_is_decoded(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "jpeg")
    cut = stream.getvalue()
    files = folder_of() | {"cat/a.png": b"no image", "dog/b.png": b"", "dog/c.jpg": picture(1)[:20]}
    found = errors_of(tmp_path, files)
    assert [one.split(":")[0] for one in found] == ["cat/a.png", "dog/b.png", "dog/c.jpg"]
    assert found[0] == "cat/a.png: no image that can be read"
    files = folder_of() | {"cat/z.jpg": cut[: len(cut) // 2]}
    (error,) = errors_of(tmp_path, files, side=8)
    assert error.startswith("cat/z.jpg: image file is truncated")


def test_folders_that_hold_no_classes_are_refused(tmp_path: Path) -> None:
    one_class = {f"cat/{n}.png": picture(n) for n in range(3)}
    assert errors_of(tmp_path, one_class) == [
        "all images are in one folder (0.png, ...); they need a folder for each class, at least two"
    ]
    assert errors_of(tmp_path, one_class | {"x.txt": b""}) == [
        "the folder holds one class ('cat'); at least two are needed"
    ]
    assert errors_of(tmp_path, {"a.txt": b"", "b/c.md": b""}) == [
        "there is no image; there are a.txt, b/c.md"
    ]
    (error,) = errors_of(tmp_path, folder_of() | {"a/b/c.png": picture(1)})
    assert error.startswith("a/b/c.png: the path of an image is CLASS/IMAGE, train/CLASS/IMAGE")


def test_too_many_files_are_refused_by_count_before_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAX_FILES", 9)
    monkeypatch.setattr(images, "_open", None)
    assert errors_of(tmp_path, folder_of()) == ["10 files; at most 9 are taken"]


def test_memory_is_bounded_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = NpzLimits(max_bytes=239)
    (error,) = errors_of(tmp_path, folder_of(), limits=limits)
    assert error.startswith("10 images of 4x6 take 240 bytes; the limit is 239")
    monkeypatch.setattr(images, "MAX_PIXELS", 23)
    assert errors_of(tmp_path, folder_of(1))[0] == "cat/0.png: 4x6 pixels are too many"
