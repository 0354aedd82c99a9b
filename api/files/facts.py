"""What a submission must know of stored files: from their rows, else from the files themselves.

Files never change, so what was read from one is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from engine.data.spec import DatasetInfo
from engine.errors import InvalidSpec
from engine.models.start_weights import find_unusable
from engine.models.weights_file import TensorInfo, find_not_finite, read_tensors
from schemas.problems import ProblemCode
from storage.database.engine import Session
from storage.database.tables import DatasetRow
from storage.errors import NotFound
from storage.files.blobs import BlobStore
from storage.files.datasets import to_info
from storage.files.weights import find_weights_blob, get_weights, to_tensors

KEPT = 512
"""Files whose facts a process keeps"""
DATA_POINTER = "#/spec/data/name"
CHECKPOINT_POINTER = "#/spec/init/checkpoint"


def read_dataset_info(blobs: BlobStore, row: DatasetRow) -> DatasetInfo:
    """The properties of a registered data set.

    Raises InvalidSpec where its file is lost, and UnreadableRow where its row is damaged.
    """
    row.require_readable()
    try:
        path = _existing(blobs, row.sha256)
        return to_info(row) or _inspect(path, row.name)
    except FileNotFoundError:
        raise InvalidSpec.single(
            DATA_POINTER,
            ProblemCode.DATASET_UNAVAILABLE,
            f"the stored file of the data set {row.name!r} is missing; delete it and register it "
            "again",
        ) from None


def read_start_tensors(
    session: Session, blobs: BlobStore, reference: str
) -> Mapping[str, TensorInfo]:
    """The tensors of the checkpoint that an `init` refers to: uploaded or of a run.

    Raises InvalidSpec where there is none, its file is lost, or no training can start from it.
    """
    try:
        sha256 = find_weights_blob(session, reference)
    except NotFound as missing:
        raise _refuse(ProblemCode.NOT_FOUND, str(missing)) from None
    row = get_weights(session, reference)
    known = None if row is None else to_tensors(row)
    try:
        path = _existing(blobs, sha256)
        return known or _read_tensors(path, reference)
    except FileNotFoundError:
        detail = f"the stored file of {reference!r} is missing"
        raise _refuse(ProblemCode.NOT_FOUND, detail) from None


def _existing(blobs: BlobStore, sha256: str) -> Path:
    """Raises FileNotFoundError; reading does too where the file is deleted at this moment."""
    if not blobs.exists(sha256):
        raise FileNotFoundError
    return blobs.path(sha256)


@lru_cache(KEPT)
def _inspect(path: Path, name: str) -> DatasetInfo:
    from engine.data.npz import inspect_npz

    return inspect_npz(path, name, pointer=DATA_POINTER)


@lru_cache(KEPT)
def _read_tensors(path: Path, reference: str) -> Mapping[str, TensorInfo]:
    try:
        tensors = read_tensors(path)
    except InvalidSpec as invalid:
        raise _refuse("safetensors", invalid.errors[0].detail) from None
    why = find_unusable(tensors)
    if why is None and (name := find_not_finite(path)) is not None:
        why = f"the tensor {name!r} of {reference!r} holds NaN or infinity as float32"
    if why is not None:
        raise _refuse("unusable-weights", why)
    return tensors


def _refuse(code: str, detail: str) -> InvalidSpec:
    return InvalidSpec.single(CHECKPOINT_POINTER, code, detail)
