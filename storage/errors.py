"""What storage may refuse.

StorageError
├── NotFound            no such row
├── InvalidTransition   the row's state does not allow the move
├── InvalidCursor       a cursor that this service has not issued
├── CorruptBlob         stored bytes do not have the digest they were stored under
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


class CorruptBlob(StorageError):
    """Stored bytes do not have the digest they were stored under."""


class StorageFull(StorageError):
    """The disk takes no more."""
