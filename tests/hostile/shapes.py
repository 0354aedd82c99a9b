"""Strategies for hostile input: valid input with damage, and arbitrary bytes."""

from __future__ import annotations

import copy
import io
import json
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.api.zip_files import Entries, pack_zip

NUMBERS: SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [0, 1, -1, 2, 3, 16, 32, 64, 1_000, 10_000, 16_384, 65_536, 1_000_000, 10_000_000]
    ),
    st.sampled_from([2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400]),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-300, 0.1, 0.999, 4.0, 1e3, 1e18, 1.7e308]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
TEXTS: SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        ["", "train", "lws", "vgg11", "resnet18", "conv_net", "cifar10", "synthetic", "adam", "sgd"]
    ),
    st.sampled_from(
        [
            "../../x",
            "a\0b",
            "\ud800",
            "\u202e",
            "{}",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
        ]
    ),
    st.text(max_size=12),
)
VALUES: SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def changed_json(draw: DrawFn, document: Any, most: int = 4) -> Any:
    """The document with up to `most` values replaced or deleted, or keys added."""
    found = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, most))):
        places = list(_places(found))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["replace", "number", "elsewhere", "delete", "add"])):
            case "replace":
                holder[key] = draw(VALUES)
            case "number":
                holder[key] = draw(NUMBERS)
            case "elsewhere":
                other, name = draw(st.sampled_from(places))
                holder[key] = copy.deepcopy(other[name])
            case "delete":
                del holder[key]
            case _ if isinstance(holder, dict):
                holder[draw(TEXTS)] = draw(VALUES)
            case _:
                holder.append(draw(VALUES))
    return found


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def as_text(value: Any) -> bytes:
    """As JSON, including single surrogates."""
    return json.dumps(value).encode()


@st.composite
def damaged(draw: DrawFn, data: bytes) -> bytes:
    """The bytes with a few of them changed, removed or inserted."""
    found = bytearray(data)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(found)))
        match draw(st.sampled_from(["flip", "number", "cut", "insert"])):
            case "flip" if at < len(found):
                found[at] ^= 1 << draw(st.integers(0, 7))
            case "number":
                width = draw(st.sampled_from(["<H", "<I", "<Q"]))
                size = struct.calcsize(width)
                number = draw(
                    st.sampled_from(
                        [0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1]
                    )
                )
                found[at : at + size] = struct.pack(width, number)
            case "cut":
                del found[at : at + draw(st.integers(1, 64))]
            case _:
                found[at:at] = draw(st.binary(max_size=16))
    return bytes(found)


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
NAMES = st.sampled_from(
    [
        "../x.npy",
        "/etc/x",
        "x_train.npy",
        "bundle.json",
        "a/../../b",
        "C:\\x",
        "-",
        "deep/" * 40,
        "ü",
    ]
)


@st.composite
def archives(draw: DrawFn, entries: Mapping[str, bytes], contents: SearchStrategy[bytes]) -> bytes:
    """A zip file of the entries, some damaged, swapped, renamed, duplicated or repacked."""
    found = list(entries.items())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(found) - 1))
        name, data = found[at]
        match draw(st.sampled_from(["damage", "replace", "rename", "double", "swap"])):
            case "damage":
                found[at] = (name, draw(damaged(data)))
            case "replace":
                found[at] = (name, draw(contents))
            case "rename":
                found[at] = (draw(NAMES), data)
            case "double":
                found.append((name, draw(contents)))
            case _:
                found[at] = (name, found[draw(st.integers(0, len(found) - 1))][1])
    method = draw(st.sampled_from(METHODS))
    packed = pack_entries(found, method)
    return draw(damaged(packed)) if draw(st.booleans()) else packed


def pack_entries(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as archive:
        warnings.simplefilter("ignore", UserWarning)  # of duplicate names, which are intended
        for name, data in entries:
            archive.writestr(name, data)
    return stream.getvalue()


def with_right_sums(entries: Entries, name: str, data: bytes) -> bytes:
    """The zip file with this entry replaced and its checksums updated."""
    return pack_zip({**entries, name: data})


HEADER_PARTS = st.sampled_from(
    [
        "(8,3,3)",
        "(-8,-9)",
        "(2**9,)",
        "(True,3,3)",
        "(8,)*9",
        "'|O'",
        "'<u1'",
        "'<V9'",
        "'|S0'",
        "[('a','<i4')]",
        "[]",
        "{}",
        "{[]:1}",
        "-" * 3000 + "1",
        "(" * 150,
        "'",
        '"""',
        "9" * 5000,
        "1e999",
        "None",
        "\\",
        "\n\t  x",
        "()",
    ]
)


@st.composite
def npy_files(draw: DrawFn) -> bytes:
    """An array whose header is arbitrary text, with a right or wrong length."""
    fields = {
        "descr": draw(st.one_of(st.just("'|u1'"), HEADER_PARTS)),
        "fortran_order": draw(st.one_of(st.sampled_from(["False", "True"]), HEADER_PARTS)),
        "shape": draw(st.one_of(st.just("(8, 3, 3)"), HEADER_PARTS)),
    }
    text = "{" + "".join(f"'{name}': {value}, " for name, value in fields.items()) + "}\n"
    header = draw(st.one_of(st.just(text), st.just(text[:-2]), HEADER_PARTS)).encode()
    version = draw(st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x09"]))
    length = draw(st.one_of(st.just(len(header)), st.sampled_from([0, 1, 65_535, 2**32 - 1])))
    width = "<H" if version == b"\x01\x00" else "<I"
    size = struct.pack(width, min(length, 65_535 if width == "<H" else 2**32 - 1))
    return b"\x93NUMPY" + version + size + header + bytes(draw(st.integers(0, 80)))
