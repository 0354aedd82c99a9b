"""Which child processes of a worker are ready, and the delay before a failed start is repeated."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable

from workers.process_control import is_running

FIRST_DELAY_SECONDS = 0.5
"""Delay after the first failed start; it doubles with each further one in a row"""
MAX_DELAY_SECONDS = 60.0
POLL_SECONDS = 0.1

_SLOT = struct.Struct("qq")
"""Process id of the ready child, 0 for none; starts since one was successful"""


class ChildSlots:
    """A table with an entry for each child of the pool, in memory shared across forks.

    Create it in the parent before it forks. A child writes only the entry of its own slot.
    """

    def __init__(self, slots: int) -> None:
        self._parent, self._slots = os.getpid(), slots
        self._memory = mmap.mmap(-1, slots * _SLOT.size)

    def count_ready(self) -> int:
        """How many slots have a running child that is ready."""
        children = [self._read(slot)[0] for slot in range(self._slots)]
        return sum(1 for child in children if child and is_running(child, self._parent))

    def note_start(self, slot: int) -> int:
        """Record that a child begins its start; returns how many starts in a row have failed.

        A start that never reports back has failed too: a crash while a library is loaded.
        """
        _, failed = self._read(slot)
        self._write(slot, 0, failed + 1)
        return failed

    def note_ready(self, slot: int) -> None:
        """Record that the calling process is ready to execute runs."""
        self._write(slot, os.getpid(), 0)

    def _read(self, slot: int) -> tuple[int, int]:
        child, failed = _SLOT.unpack_from(self._memory, slot * _SLOT.size)
        return child, failed

    def _write(self, slot: int, child: int, failed: int) -> None:
        _SLOT.pack_into(self._memory, slot * _SLOT.size, child, failed)


def delay_after(failed: int) -> float:
    """Seconds to wait before the next start, after so many failed ones in a row."""
    # The exponent is bounded: a float would overflow after a thousand failures.
    return min(FIRST_DELAY_SECONDS * 2 ** min(failed - 1, 10), MAX_DELAY_SECONDS) if failed else 0.0


def wait_unless(stop: Callable[[], bool], seconds: float) -> None:
    """Wait so long, or until `stop` returns True."""
    end = time.monotonic() + seconds
    while not stop() and (left := end - time.monotonic()) > 0:
        time.sleep(min(POLL_SECONDS, left))
