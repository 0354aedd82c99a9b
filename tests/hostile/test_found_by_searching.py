"""Inputs that once caused harm, at least one for each protection."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.npz import NpzLimits, inspect_npz
from engine.errors import InvalidSpec
from engine.sweep import MAX_ERRORS, expand
from tests.hostile.bounds import bounded
from tests.hostile.ground import Ground, make_arrays, make_weights, with_header
from tests.hostile.shapes import pack_entries, with_right_sums
from tests.hostile.targets import check_bundle, check_npz, check_submission, check_weights

HEADER = "{'descr': %s, 'fortran_order': False, 'shape': %s, }\n"


def npz_with(name: str, array: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    return pack_entries([*{**make_arrays(), f"{name}.npy": array}.items()], method)


def npy(descr: str, shape: str) -> bytes:
    header = (HEADER % (descr, shape)).encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header + bytes(72)


def directory_of(num_entries: int) -> bytes:
    """A zip archive of empty entries without names: it is only a directory."""
    entry = b"PK\x01\x02" + bytes(42)
    return entry * num_entries + struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, 65_535, 65_535, len(entry) * num_entries, 0, 0
    )


def lzma_of(entries: dict[str, bytes]) -> bytes:
    """Packed with a dictionary whose stated size is four gigabytes."""
    return pack_entries([*entries.items()], zipfile.ZIP_LZMA).replace(
        b"\x09\x04\x05\x00]\x00\x00\x80\x00", b"\x09\x04\x05\x00]\xff\xff\xff\xff"
    )


BAD_NAME = pack_entries([("ü", b"")]).replace("ü".encode(), b"\xff\xff")


def test_a_zip_archive_behind_other_bytes_is_read_as_it_was_inspected(ground: Ground) -> None:
    assert check_npz(ground, b"\x15" + pack_entries([*make_arrays().items()], zipfile.ZIP_STORED))


@pytest.mark.parametrize(
    "data",
    [
        npz_with("x_train", npy("'|u1'", "(" * 150)),
        npz_with("x_train", npy("()", "(8, 3, 3)")),
        npz_with("x_train", npy("{", "(8,3,3)")),
        npz_with("x_train", npy("'|u1'", "-" * 7_000 + "1")),
        npz_with("x_train", npy("'|u1'", "{[]: 1}")),
        npz_with("x_train", npy("'|O'", "(8, 3, 3)")),
        npz_with("x_train", npy("'|u1'", "(8, -3, -3)")),
        npz_with("x_train", npy("'|u1'", "(8, 3, 3)")[:-72]),
        npz_with("x_train", npy("'|u1'", "(8, 3, 3)"), zipfile.ZIP_BZIP2),
        lzma_of(make_arrays()),
        npz_with("../x", b""),
        directory_of(3_000_000),
        BAD_NAME,
    ],
    ids=[
        "nested",
        "no-type",
        "unclosed",
        "deep",
        "unhashable",
        "object",
        "negative",
        "cut-off",
        "bzip2",
        "lzma",
        "name",
        "directory",
        "not-utf-8",
    ],
)
def test_an_array_file_is_refused_cheaply(ground: Ground, data: bytes) -> None:
    with bounded(num_bytes=300 << 20):
        assert not check_npz(ground, data)


def test_the_length_of_a_header_is_checked_before_it_is_read(tmp_path: Path) -> None:
    length = 200 << 20
    path = tmp_path / "long.npz"
    path.write_bytes(
        npz_with("x_train", b"\x93NUMPY\x02\x00" + struct.pack("<I", length) + bytes(length))
    )
    with bounded(num_bytes=64 << 20), pytest.raises(InvalidSpec, match="header of"):
        inspect_npz(path, limits=NpzLimits())


def test_labels_are_counted_in_constant_memory(tmp_path: Path) -> None:
    number = 12_000_000
    path = tmp_path / "many.npz"
    labels = np.zeros(number, np.int64)
    labels[-1] = 1
    images = np.zeros((number, 1, 1), np.uint8)
    np.savez_compressed(path, x_train=images, y_train=labels, x_test=images[:2], y_test=labels[-2:])
    del labels, images
    with bounded(60, 64 << 20):
        assert inspect_npz(path, limits=NpzLimits()).train_size == number


HUGE = {"dtype": "F32", "shape": [2**63] * 100_000, "data_offsets": [0, 0]}


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ({"a": HUGE}, b""),
        ({"a": {"dtype": "F32", "shape": [10**4_000] * 500, "data_offsets": [0, 0]}}, b""),
        ({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [False, 4]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}, bytes(4)),
        (
            {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "__metadata__": {"a": 1}},
            bytes(4),
        ),
        (
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            bytes(4),
        ),
        (
            json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode(
                "utf-16"
            ),
            bytes(4),
        ),
        (
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"__metadata__":{"a":"\\ud800"}}',
            bytes(4),
        ),
        (b' {"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
    ],
    ids=[
        "product",
        "long-numbers",
        "boolean",
        "false-offset",
        "negative",
        "notes",
        "duplicate",
        "utf-16",
        "single-surrogate",
        "space",
    ],
)
def test_weights_are_refused_cheaply(ground: Ground, header: object, body: bytes) -> None:
    with bounded():
        assert not check_weights(ground, with_header(header, body))


def test_a_header_longer_than_the_file_is_refused(ground: Ground) -> None:
    right = make_weights()
    assert check_weights(ground, right)
    assert not check_weights(ground, (2**63).to_bytes(8, "little") + right[8:])


def moved(ground: Ground, change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(ground.export["bundle.json"])
    change(document)
    return with_right_sums(ground.export, "bundle.json", json.dumps(document).encode())


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_outside_the_range_of_utc_is_refused(ground: Ground, moment: str) -> None:
    assert not check_bundle(
        ground, moved(ground, lambda document: document.update(created_at=moment))
    )


@pytest.mark.parametrize("make", [lzma_of, lambda _: BAD_NAME, lambda _: directory_of(3_000_000)])
def test_a_malicious_zip_file_is_refused_cheaply(
    ground: Ground, make: Callable[[dict[str, bytes]], bytes]
) -> None:
    with bounded(num_bytes=300 << 20):
        assert not check_bundle(ground, make(ground.export))


def test_a_document_that_unpacks_to_many_bytes_is_refused_cheaply(ground: Ground) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("SHA256SUMS", "0" * 64 + "  bundle.json\n")
        with archive.open("bundle.json", "w") as entry:
            for _ in range(32):
                entry.write(b"[]," * (1 << 20))
    with bounded():
        assert not check_bundle(ground, stream.getvalue())


def test_an_axis_inside_the_values_of_another_axis_is_refused() -> None:
    with pytest.raises(InvalidSpec) as refused:
        expand({"kind": "train"}, {"model": ["x"], "model.width": [1]})
    assert [error.pointer for error in refused.value.errors] == ["#/sweep/model.width"]


def test_a_mistake_repeated_by_a_sweep_is_listed_a_limited_number_of_times() -> None:
    sweep: dict[str, list[Any]] = {
        "alphas_percent": [["x"] * 20_000],
        "epochs": list(range(1, 1_001)),
    }
    with bounded(), pytest.raises(InvalidSpec) as refused:
        expand({"kind": "activity_map"}, sweep)
    assert 1 <= len(refused.value.errors) <= 20_000 + MAX_ERRORS


def test_a_swept_text_in_place_of_an_object_is_refused(ground: Ground) -> None:
    body = {"spec": {"kind": "train"}, "sweep": {"data": [0], "data.name": ["mnist"]}}
    assert not check_submission(ground, json.dumps(body).encode())


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e999", "-1e999", "NaN", "Infinity"])
def test_numbers_that_safetensors_cannot_read_are_refused(ground: Ground, number: str) -> None:
    right = make_weights()
    length = int.from_bytes(right[:8], "little")
    header = right[8 : 8 + length].rstrip()
    changed = header.replace(b'"dtype"', b'"extra": %s, "dtype"' % number.encode(), 1)
    assert changed != header
    data = len(changed).to_bytes(8, "little") + changed + right[8 + length :]
    assert not check_weights(ground, data)
