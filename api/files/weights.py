"""Checks, stores and registers an uploaded safetensors file, without loading a tensor."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

from api.http.problems import ProblemRaised
from engine.errors import FieldError
from schemas.audit import Action
from schemas.problems import ProblemCode
from schemas.resources import Weights
from storage.access.audit import record
from storage.access.ownership import restricted_to_owner
from storage.database.engine import Database
from storage.files.blobs import BlobStore
from storage.files.upload_transaction import upload_transaction
from storage.files.weights import get_weights, id_of, register_weights, to_resource

MAX_HEADER_BYTES = 4 << 20
MAX_TENSORS = 10_000
MAX_NAME = 200
MAX_DIMENSIONS = 8
BYTES_PER_NUMBER = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8}
"""Floats are parameters and running statistics; batch normalisation counts its batches in I64."""


def register(db: Database, blobs: BlobStore, path: Path, title: str | None) -> tuple[Weights, bool]:
    """Check the file and register it; also returns whether it is new.

    Raises a 422 problem for a file that is not safetensors, and StorageFull.
    """
    tensors = read_shapes(path)
    with upload_transaction(db, blobs) as take:
        blob = take(lambda: blobs.put_file(path))
        with db.write() as session, restricted_to_owner(session):
            known = get_weights(session, id_of(blob.sha256))
            row = known or register_weights(session, blob, tensors, title)
            if known is None:
                record(session, Action.UPLOADED, row.id, f"checkpoint, {blob.num_bytes} bytes")
            return to_resource(row), known is None


def read_shapes(path: Path) -> dict[str, list[int]]:
    """Shapes by name. Raises a 422 problem unless header, tensors and file size agree exactly."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
            raise _refuse("its first eight bytes are not the length of a header")
        text = file.read(length)
    try:
        header: Any = json.loads(text.decode("utf-8"), object_pairs_hook=_distinct_keys)
        json.dumps(header, ensure_ascii=False).encode()  # refuses half a surrogate pair
    except (ValueError, RecursionError) as error:
        raise _refuse(f"its header is not JSON: {str(error)[:200]}") from None
    if not text.startswith(b"{") or len(header) > MAX_TENSORS:
        raise _refuse("its header is not an object of tensors")
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise _refuse("its __metadata__ is not an object of texts")
    spans = [_read_tensor(name, entry, size) for name, entry in header.items()]
    end = 0
    for low, high in sorted(spans):
        if low != end:
            raise _refuse("its tensors overlap or leave gaps")
        end = high
    if not header or end != size - 8 - length:
        raise _refuse("its tensors do not fill the file")
    return {name: entry["shape"] for name, entry in header.items()}


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found


def _read_tensor(name: str, entry: Any, size: int) -> tuple[int, int]:
    """The start and end of the tensor after the header, in a file of `size` bytes."""
    match entry:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(low), int(high)]} if (
            kind in BYTES_PER_NUMBER
            and len(shape) <= MAX_DIMENSIONS
            and all(type(length) is int and 0 <= length <= size for length in shape)
            and bool not in (type(low), type(high))
            and 0 <= low <= high
            and high - low == prod(shape) * BYTES_PER_NUMBER[kind]
            and len(name) <= MAX_NAME
            and name.isprintable()
        ):
            return low, high
    raise _refuse(f"the tensor {name[:80]!r} is not described by a float type, a shape and offsets")


def _refuse(why: str) -> ProblemRaised:
    detail = f"the body is not a safetensors file of weights: {why}"
    return ProblemRaised(
        422, ProblemCode.INVALID_REQUEST, detail, [FieldError("#/file", "safetensors", why)]
    )
