"""Bounds on what one input may take."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 5.0
"""Of this thread's own computing: much more than any input takes, much less than one that grows without bound"""
MEMORY_BYTES = 512 << 20
"""Beyond what the process has already"""


@contextmanager
def bounded(seconds: float = SECONDS, num_bytes: int = MEMORY_BYTES) -> Iterator[None]:
    """Raises MemoryError in the block where it takes more memory, AssertionError behind it where it took longer."""
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
