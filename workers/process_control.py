"""What a worker's parent and its children share across a fork: a drain request, a guard, and death together."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_PDEATHSIG = 1


class DrainRequest:
    """One byte of memory that a parent shares with all its children: whether they are asked to give their runs back.

    Memory rather than a signal: the process pool uses the signals for itself, and a child forked later must know too.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def set(self) -> None:
        self._memory[0] = 1

    def is_set(self) -> bool:
        return self._memory[0] == 1


class ForkGuard:
    """Keeps forks out of a block: a child forked while its parent holds a database open inherits the locks of SQLite's
    library without holding them, so that it waits for nobody, or writes over a log that others are using."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        os.register_at_fork(
            before=self._lock.acquire,
            after_in_parent=self._lock.release,
            after_in_child=self._lock.release,
        )

    @contextmanager
    def no_fork(self) -> Iterator[None]:
        with self._lock:
            yield


def die_with_parent(number: int = signal.SIGKILL) -> Callable[[], None]:
    """A function for a fresh child that makes it receive the signal when its parent ends, however that ends (Linux)."""
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def arrange() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, int(number))
            if os.getppid() != parent:
                os.kill(os.getpid(), number)  # the parent ended before it could be arranged

    return arrange


def is_running(pid: int, parent: int) -> bool:
    """Whether the process runs, no zombie, as a child of `parent`."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    state, ppid = stat.rpartition(")")[2].split()[:2]
    return state not in "ZX" and int(ppid) == parent
