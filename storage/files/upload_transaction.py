"""Files from outside on their way in: each is kept together with a row that speaks of it, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage.database.engine import Database
from storage.files.blobs import BlobStore, StoredBlob
from storage.files.retention import delete_unreferenced

Store = Callable[[], StoredBlob]


@contextmanager
def upload_transaction(db: Database, blobs: BlobStore) -> Iterator[Callable[[Store], StoredBlob]]:
    """Yields what a file is stored by, so that the block may write its row. Where the block fails, the files that it has
    made go again; one that has gone meanwhile, as another that brought the same bytes has failed, is stored once more."""
    stored: list[tuple[StoredBlob, Store]] = []

    def take(store: Store) -> StoredBlob:
        blob = store()
        stored.append((blob, store))
        return blob

    try:
        yield take
    except BaseException:
        delete_unreferenced(db, blobs, [blob.sha256 for blob, _ in stored if blob.is_new])
        raise
    for blob, store in stored:
        if not blobs.exists(blob.sha256):
            store()
