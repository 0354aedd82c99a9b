"""Troubles that every pass meets again, told once a process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("richregime.storage")

_told: set[tuple[str, type[Exception]]] = set()


@contextmanager
def log_once(trouble: str) -> Iterator[None]:
    """Whatever fails within is logged and goes no further: one bad row starves nobody. An error of the same type is told
    once a process.

    trouble: what could not be done, and to which row.
    """
    try:
        yield
    except Exception as error:
        if (trouble, type(error)) not in _told:
            _told.add((trouble, type(error)))
            log.exception(trouble)
