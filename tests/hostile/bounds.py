"""Bounds on the time and memory for one input."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 5.0
"""CPU time of the thread: far more than any valid input takes, far less than unbounded growth"""
MEMORY_BYTES = 512 << 20
"""In addition to what the process uses already"""


@contextmanager
def bounded(seconds: float = SECONDS, num_bytes: int = MEMORY_BYTES) -> Iterator[None]:
    """Limit a block. Raises MemoryError inside it, or AssertionError after it if it took longer."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + num_bytes, hard))
    began = time.thread_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    took = time.thread_time() - began
    assert took < seconds, f"{took:.1f} s for one input"
