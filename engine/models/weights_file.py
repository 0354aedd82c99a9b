"""Read a safetensors file without torch: its tensors' names, shapes and types; finite numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from engine.errors import InvalidSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_HEADER_BYTES = 4 << 20
MAX_TENSORS = 10_000
MAX_NAME = 200
MAX_DIMENSIONS = 8
DTYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I64": ("int64", 8),
}
"""Torch's name and the bytes of a number, by safetensors' name: the types that a net can take."""
_CHUNK = 1 << 20
_BF16_EXPONENT = 0x7F80


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor without its numbers."""

    dtype: str
    """Torch's name, such as `bfloat16`"""
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class _Span:
    """One tensor and its place in the file."""

    info: TensorInfo
    start: int
    stop: int


def read_tensors(path: Path) -> dict[str, TensorInfo]:
    """The tensors of the file by name.

    Raises InvalidSpec at `#/file` unless header, tensors and file size agree exactly, and where a
    net takes no numbers of a tensor's type.
    """
    with path.open("rb") as file:
        return {name: span.info for name, span in _read_spans(file, path.stat().st_size).items()}


def find_not_finite(path: Path) -> str | None:
    """The name of the first tensor that holds NaN or infinity as float32; None if none does.

    Reads the whole file. Raises InvalidSpec as `read_tensors`.
    """
    with path.open("rb") as file:
        for name, span in _read_spans(file, path.stat().st_size).items():
            file.seek(span.start)
            left = span.stop - span.start
            while left and span.info.dtype != "int64":
                part = file.read(min(_CHUNK, left))
                left -= len(part)
                if not _is_finite(part, span.info.dtype):
                    return name
    return None


def _is_finite(data: bytes, dtype: str) -> bool:
    import numpy as np

    if dtype == "bfloat16":
        bits: NDArray[Any] = np.frombuffer(data, "<u2")
        return not bool(((bits & _BF16_EXPONENT) == _BF16_EXPONENT).any())
    with np.errstate(over="ignore"):
        numbers = np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).astype(np.float32)
    return bool(np.isfinite(numbers).all())


def _read_spans(file: IO[bytes], size: int) -> dict[str, _Span]:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise _refuse("its first eight bytes are not the length of a header")
    text = file.read(length)
    try:
        header: Any = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_distinct_keys,
            parse_int=_read_integer,
            parse_float=_read_finite,
            parse_constant=_read_finite,
        )
        json.dumps(header, ensure_ascii=False).encode()  # refuses half a surrogate pair
    except (ValueError, RecursionError) as error:
        raise _refuse(f"its header is not JSON: {str(error)[:200]}") from None
    if not text.startswith(b"{") or len(header) > MAX_TENSORS:
        raise _refuse("its header is not an object of tensors")
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise _refuse("its __metadata__ is not an object of texts")
    spans = {
        name: _read_span(name, entry, size, data_start=8 + length) for name, entry in header.items()
    }
    end = 8 + length
    for span in sorted(spans.values(), key=lambda one: (one.start, one.stop)):
        if span.start != end:
            raise _refuse("its tensors overlap or leave gaps")
        end = span.stop
    if not spans or end != size:
        raise _refuse("its tensors do not fill the file")
    return spans


def _read_integer(text: str) -> int:
    """Raises ValueError for an integer beyond double precision, which safetensors cannot read."""
    _read_finite(text)
    return int(text)


def _read_finite(text: str) -> float:
    """Raises ValueError for NaN, infinity, and numbers beyond double precision."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"the number {text[:20]} is out of range")
    return number


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found


def _read_span(name: str, entry: Any, size: int, data_start: int) -> _Span:
    """The tensor in a file of `size` bytes, whose numbers begin at `data_start`."""
    match entry:
        case {"dtype": str(kind)} if kind not in DTYPES:
            raise _refuse(
                f"the tensor {name[:80]!r} is of type {kind[:20]!r}; weights are F32, or F16, BF16 "
                "or F64, which are converted; counters of batch normalisation are I64"
            )
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(low), int(high)]} if (
            len(shape) <= MAX_DIMENSIONS
            and all(type(length) is int and 0 <= length <= size for length in shape)
            and bool not in (type(low), type(high))
            and 0 <= low <= high
            and high - low == prod(shape) * DTYPES[kind][1]
            and len(name) <= MAX_NAME
            and name.isprintable()
        ):
            return _Span(
                TensorInfo(DTYPES[kind][0], tuple(shape)), data_start + low, data_start + high
            )
    raise _refuse(f"the tensor {name[:80]!r} is not described by a type, a shape and offsets")


def _refuse(why: str) -> InvalidSpec:
    return InvalidSpec.single("#/file", "safetensors", why)
