"""Failures of the service's commands: one line, and exit code 1."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def failing_in_one_line() -> Iterator[None]:
    """End the command with code 1 and one line for what storage, the system and we raise."""
    from storage.database.availability import describe_failure
    from storage.database.engine import DatabaseError
    from storage.errors import StorageError

    try:
        yield
    except DatabaseError as error:
        raise _fail(describe_failure(error)) from None
    except (StorageError, OSError, RuntimeError) as error:
        raise _fail(str(error)) from None


def _fail(reason: str) -> typer.Exit:
    from runtime.logs import hide_secrets

    print(hide_secrets(" ".join(reason.split())), file=sys.stderr)
    return typer.Exit(1)
