"""Store uploaded files together with their rows, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from storage.database.engine import Database
from storage.errors import StorageUnavailable
from storage.files.blobs import BlobStore, StoredBlob
from storage.files.retention import delete_unreferenced

Store = Callable[[], StoredBlob]


@contextmanager
def upload_transaction(db: Database, blobs: BlobStore) -> Iterator[Callable[[Store], StoredBlob]]:
    """Yields a function that stores a file; the block then inserts its row.

    Where the block fails, its new files are deleted. After the block, a file that is missing, as a
    concurrent failed upload of the same bytes deleted it, is stored again.
    """
    stored: list[tuple[StoredBlob, Store]] = []

    def store_file(store: Store) -> StoredBlob:
        blob = store()
        stored.append((blob, store))
        return blob

    try:
        yield store_file
    except BaseException:
        with suppress(StorageUnavailable):  # then the sweep deletes them
            delete_unreferenced(db, blobs, [blob.sha256 for blob, _ in stored if blob.is_new])
        raise
    for blob, store in stored:
        if not blobs.exists(blob.sha256):
            store()
