"""A lock that is had in the order in which it was asked for."""

from __future__ import annotations

import threading
from collections import deque


class FairLock:
    """Unlike `threading.Lock`, and unlike SQLite's own lock, whoever comes by when it is free does not overtake those who
    wait: with many at it, the slowest waits no longer than it takes all who were before."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Lock] = deque()
        """Held by those who wait; their turn has come when it is released"""

    def acquire(self, timeout: float) -> bool:
        """Whether the turn came within `timeout` seconds; if so, `release` is to follow."""
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return True
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=timeout):
            return True
        with self._mutex:
            if mine not in self._waiting:
                return True  # it has come in this very moment
            self._waiting.remove(mine)
            return False

    def release(self) -> None:
        """The turn goes to whoever has waited longest."""
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False
