"""A database, files and valid inputs for the targets, without a server."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet
from safetensors.numpy import save

from runtime.settings import Settings
from storage.database.engine import Database
from storage.files.blobs import BlobStore
from tests.api.api_server import make_settings, serve_api
from tests.api.zip_files import Entries, unpack_zip

BODY = {"spec": {"kind": "train", "epochs": 1}, "sweep": {"model.width": [10, 20]}, "seeds": [0, 1]}


@dataclass(frozen=True)
class Ground:
    settings: Settings
    db: Database
    blobs: BlobStore
    export: Entries
    """The entries of an export of a succeeded experiment, by name"""

    @contextmanager
    def file(self, data: bytes) -> Iterator[Path]:
        """The bytes as an upload leaves them."""
        with self.blobs.scratch() as path:
            path.write_bytes(data)
            yield path


@contextmanager
def open_ground(home: Path) -> Iterator[Ground]:
    """Open it on a home; an existing database must be migrated."""
    settings = make_settings(home, max_import_bytes=1_000_000)
    db = Database(settings.resolved_database_url)
    if not (home / "richregime.sqlite3").exists():
        db.upgrade()
    with serve_api(settings) as api_server:
        experiment_id = api_server.submit(BODY)["id"]
        api_server.finish_all_runs(experiment_id)
        archive = api_server.http.get(
            f"/experiments/{experiment_id}/export", params={"files": True}
        ).content
    yield Ground(settings, db, BlobStore(settings.resolved_blob_dir), unpack_zip(archive))
    db.dispose()


def make_arrays() -> Entries:
    """The entries of a small valid data set."""
    labels = np.arange(8) % 2
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "x_train": np.zeros((8, 3, 3), np.uint8),
        "y_train": labels,
        "x_test": np.zeros((4, 3, 3), np.uint8),
        "y_test": labels[:4],
    }
    return {f"{name}.npy": _npy(array) for name, array in arrays.items()}


def make_images() -> Entries:
    """A small valid folder of images, of several formats."""
    found = {}
    for number, kind in enumerate(("png", "jpeg", "gif", "bmp", "tiff", "webp")):
        stream = io.BytesIO()
        Image.new("RGB", (4, 4), (number, 0, 9)).save(stream, kind)
        found[f"{'ab'[number % 2]}/{number}.{kind}"] = stream.getvalue()
    return found


def make_parquet() -> bytes:
    """A small valid table."""
    stream = io.BytesIO()
    parquet.write_table(pa.table({"a": [1.0, 2.0] * 4, "k": ["x", "y"] * 4}), stream)
    return stream.getvalue()


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def make_weights() -> bytes:
    """A small valid safetensors file."""
    return bytes(
        save({"0.weight": np.zeros((3, 2), np.float32), "0.bias": np.zeros(3, np.float32)})
    )


def with_header(header: object, body: bytes) -> bytes:
    """A safetensors file with this header; bytes are used unchanged, other values as JSON."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body
