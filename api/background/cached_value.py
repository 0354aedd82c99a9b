"""A value with a time to live."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class CachedValue(Generic[T]):
    """Computes a value again when it is older than its time to live.

    One thread computes it; the others wait for it.
    """

    def __init__(self, compute: Callable[[], T], ttl_seconds: float) -> None:
        self._compute, self._ttl_seconds = compute, ttl_seconds
        self._lock = threading.Lock()
        self._cached: tuple[float, T] | None = None

    def get(self) -> T:
        """The value; raises what computing it raises."""
        with self._lock:
            if self._cached is None or time.monotonic() - self._cached[0] > self._ttl_seconds:
                self._cached = (time.monotonic(), self._compute())
            return self._cached[1]
