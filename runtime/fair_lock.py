"""A first-in, first-out lock."""

from __future__ import annotations

import threading
from collections import deque


class FairLock:
    """A lock that threads acquire in the order in which they requested it.

    `threading.Lock` and SQLite's own lock let a newcomer overtake waiting threads; here the longest
    wait is bounded by the work of the threads before.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Lock] = deque()
        """One locked lock for each waiting thread; releasing it hands the fair lock over"""

    def acquire(self, timeout: float) -> bool:
        """Whether the lock was acquired within `timeout` seconds; if so, call `release`."""
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return True
            ticket = threading.Lock()
            ticket.acquire()
            self._waiting.append(ticket)
        if ticket.acquire(timeout=timeout):
            return True
        with self._mutex:
            if ticket not in self._waiting:
                return True  # it was handed over after the timeout
            self._waiting.remove(ticket)
            return False

    def release(self) -> None:
        """Hand the lock to the thread that has waited longest."""
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False
