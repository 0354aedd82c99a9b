"""Stored files in an object store: the same promises as in a folder, on two machines that share nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from obstore.store import LocalStore

from runtime.settings import Settings
from storage.errors import CorruptBlob, NotFound
from storage.files.blobs import BlobStore, open_blobs
from storage.files.retention import sweep_orphans
from storage.files.s3 import ObjectBlobStore
from tests.faults.conftest import Bench
from tests.faults.test_fault_points import SEEDS, SPEC


@pytest.fixture
def stores(tmp_path: Path) -> tuple[ObjectBlobStore, ObjectBlobStore]:
    """One object store as two machines see it."""
    shared = tmp_path / "objects"
    shared.mkdir()
    return (
        ObjectBlobStore(LocalStore(str(shared)), tmp_path / "one"),
        ObjectBlobStore(LocalStore(str(shared)), tmp_path / "two"),
    )


def test_one_machine_reads_what_the_other_has_stored(
    stores: tuple[ObjectBlobStore, ...], tmp_path: Path
) -> None:
    here, there = stores
    blob = here.put(b"bytes")
    assert there.read(blob.sha256) == b"bytes"
    assert there.path(blob.sha256).read_bytes() == b"bytes"
    with here.scratch() as upload:
        upload.write_bytes(b"a data set")
        assert there.read(here.put_file(upload).sha256) == b"a data set"
    here.delete(blob.sha256)
    assert not there.exists(blob.sha256)
    with pytest.raises(NotFound):
        here.read(blob.sha256)


def test_damaged_copies_and_objects_are_never_taken(
    stores: tuple[ObjectBlobStore, ...], tmp_path: Path
) -> None:
    here, there = stores
    sha256 = here.put(b"bytes").sha256
    here.path(sha256).write_bytes(b"bytez")
    assert here.read(sha256) == b"bytes"
    (tmp_path / "objects" / sha256[:2] / sha256).write_bytes(b"bytez")
    with pytest.raises(CorruptBlob):
        there.read(sha256)


def test_runs_and_sweeps_are_the_same_on_an_object_store(
    bench: Bench, stores: tuple[ObjectBlobStore, ...]
) -> None:
    bench.blobs, other = stores
    reference = bench.reference(SPEC, SEEDS)
    bench.submit(SPEC, SEEDS, keep="last")
    bench.submit(SPEC, SEEDS)
    bench.work_until_idle()
    orphan = other.put(b"nobody's").sha256
    assert sweep_orphans(bench.db, other, older_than_seconds=-1) >= 1
    assert not bench.blobs.exists(orphan)
    bench.accepted = bench.accepted[::2]
    bench.assert_invariants(reference)


def test_the_settings_choose_the_store(tmp_path: Path) -> None:
    assert type(open_blobs(Settings(home=tmp_path, blob_dir=None))) is BlobStore
    chosen = open_blobs(Settings(home=tmp_path, blob_dir=None, blob_url=f"file://{tmp_path}"))
    assert isinstance(chosen, ObjectBlobStore)
