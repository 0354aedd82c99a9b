"""Log a recurring error once per process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("richregime.storage")

_logged: set[tuple[str, type[Exception]]] = set()


@contextmanager
def log_once(message: str) -> Iterator[None]:
    """Log and suppress any exception of the block, so that one bad row does not block the others.

    The same message with the same type of exception is logged once per process.
    message: what failed, and for which row.
    """
    try:
        yield
    except Exception as error:
        if (message, type(error)) not in _logged:
            _logged.add((message, type(error)))
            log.exception(message)
