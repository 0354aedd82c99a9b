"""What storage may refuse.

StorageError
├── NotFound            no such row
├── InvalidTransition   the row's state does not allow the move
├── InvalidCursor       a cursor that this service has not issued
├── KeyTaken            an idempotency key that another transaction has just used
├── SchemaOutdated      the database has another schema than this code
├── CorruptBlob         stored bytes do not have the digest they were stored under
├── UnreadableRow       a stored value is not what its column holds
└── StorageFull         the disk takes no more
"""

from __future__ import annotations


class StorageError(Exception):
    """Base of all errors that storage raises on purpose."""


class NotFound(StorageError):
    """No such row."""


class InvalidTransition(StorageError):
    """The row's state does not allow the move."""


class InvalidCursor(StorageError, ValueError):
    """A cursor that this service has not issued."""


class KeyTaken(StorageError):
    """An idempotency key that another transaction has just used."""


class SchemaOutdated(StorageError):
    """The database has another schema than this code."""


class CorruptBlob(StorageError):
    """Stored bytes do not have the digest they were stored under."""


class UnreadableRow(StorageError):
    """A stored value is not what its column holds."""


class StorageFull(StorageError):
    """The disk takes no more."""

    def __init__(self) -> None:
        super().__init__(
            "the disk of the service is full; `richregime gc` and deleting experiments make room"
        )
