"""The errors that storage raises on purpose.

StorageError
├── NotFound            no such row
├── InvalidTransition   the row's state does not allow the transition
├── InvalidCursor       not a cursor of this service
├── KeyTaken            another transaction has just used the idempotency key
├── NameTaken           two owners have different data sets of one name
├── SchemaOutdated      the database schema is older than this code
├── CopyRefused         the database cannot be copied to the target
├── CorruptBlob         stored bytes do not match their digest
├── UnreadableRow       a stored value does not have its column's type
├── StorageFull         the disk is full
└── StorageUnavailable  the object store does not answer
"""

from __future__ import annotations


class StorageError(Exception):
    """Base of all errors that storage raises on purpose."""


class NotFound(StorageError):
    """No such row."""


class InvalidTransition(StorageError):
    """The row's state does not allow the transition."""


class InvalidCursor(StorageError, ValueError):
    """Not a cursor of this service."""


class KeyTaken(StorageError):
    """Another transaction has just used the idempotency key."""


class NameTaken(StorageError):
    """Two owners have different data sets of one name."""


class SchemaOutdated(StorageError):
    """The database schema is older than this code."""


class CopyRefused(StorageError):
    """The database cannot be copied to the target."""


class CorruptBlob(StorageError):
    """Stored bytes do not match their digest."""


class UnreadableRow(StorageError):
    """A stored value does not have its column's type."""


class StorageFull(StorageError):
    """The disk is full."""

    def __init__(self) -> None:
        super().__init__(
            "the disk of the service is full; run `richregime gc` or delete experiments"
        )


class StorageUnavailable(StorageError):
    """The object store does not answer, or refuses; the same request may succeed later."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"the object store of the service does not answer ({cause}); try again")
