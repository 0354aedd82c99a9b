"""Stored files in an object store: the same guarantees as in a folder, for two machines."""

from __future__ import annotations

from pathlib import Path

import pytest
from obstore.store import LocalStore

from runtime.settings import Settings
from storage.errors import CorruptBlob, NotFound
from storage.files.blobs import BlobStore, open_blobs
from storage.files.retention import sweep_orphans
from storage.files.s3 import ObjectBlobStore
from tests.faults.in_process_worker import SEEDS, SPEC, InProcessWorker


@pytest.fixture
def stores(tmp_path: Path) -> tuple[ObjectBlobStore, ObjectBlobStore]:
    """The same object store on two machines, each with its own local copies."""
    shared = tmp_path / "objects"
    shared.mkdir()
    return (
        ObjectBlobStore(LocalStore(str(shared)), tmp_path / "one"),
        ObjectBlobStore(LocalStore(str(shared)), tmp_path / "two"),
    )


def test_one_machine_reads_the_files_that_the_other_stored(
    stores: tuple[ObjectBlobStore, ...], tmp_path: Path
) -> None:
    first, second = stores
    blob = first.put(b"bytes")
    assert second.read(blob.sha256) == b"bytes"
    assert second.path(blob.sha256).read_bytes() == b"bytes"
    with first.scratch() as upload:
        upload.write_bytes(b"a data set")
        assert second.read(first.put_file(upload).sha256) == b"a data set"
    first.delete(blob.sha256)
    assert not second.exists(blob.sha256)
    with pytest.raises(NotFound):
        first.read(blob.sha256)


def test_damaged_copies_and_objects_are_never_used(
    stores: tuple[ObjectBlobStore, ...], tmp_path: Path
) -> None:
    first, second = stores
    sha256 = first.put(b"bytes").sha256
    first.path(sha256).write_bytes(b"bytez")
    assert first.read(sha256) == b"bytes"
    (tmp_path / "objects" / sha256[:2] / sha256).write_bytes(b"bytez")
    with pytest.raises(CorruptBlob):
        second.read(sha256)


def test_runs_and_sweeps_work_alike_on_an_object_store(
    worker: InProcessWorker, stores: tuple[ObjectBlobStore, ...]
) -> None:
    worker.blobs, other = stores
    reference = worker.reference(SPEC, SEEDS)
    worker.submit(SPEC, SEEDS, keep="last")
    worker.submit(SPEC, SEEDS)
    worker.work_until_idle()
    orphan = other.put(b"orphan").sha256
    assert sweep_orphans(worker.db, other, older_than_seconds=-1) >= 1
    assert not worker.blobs.exists(orphan)
    worker.accepted = worker.accepted[::2]
    worker.assert_invariants(reference)


def test_the_settings_select_the_store(tmp_path: Path) -> None:
    assert type(open_blobs(Settings(home=tmp_path, blob_dir=None))) is BlobStore
    chosen = open_blobs(Settings(home=tmp_path, blob_dir=None, blob_url=f"file://{tmp_path}"))
    assert isinstance(chosen, ObjectBlobStore)
