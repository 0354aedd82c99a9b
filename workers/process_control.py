"""Process control across forks: drain requests, a fork guard, and children that die with their
parent."""

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
    """Asks all children to release their runs, through one byte of shared memory.

    Shared memory instead of a signal: the process pool uses the signals itself, and children that
    are forked later must see the request too.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def set(self) -> None:
        self._memory[0] = 1

    def is_set(self) -> bool:
        return self._memory[0] == 1


class ForkGuard:
    """Prevents forks inside a block.

    A child that is forked while its parent has a SQLite database open inherits the library's record
    of locks that it does not hold. It then waits for a lock that nobody releases, or overwrites a
    log that other processes use.
    """

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


def die_with_parent(number: int = signal.SIGKILL, parent: int | None = None) -> Callable[[], None]:
    """A function to call in a new child, which then receives the signal when its parent ends.

    parent: its process id; None means this process. Works however the parent ends, on Linux only.
    """
    parent = os.getpid() if parent is None else parent
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def set_signal() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, int(number))
            if os.getppid() != parent:
                os.kill(os.getpid(), number)  # the parent ended before the call

    return set_signal


def is_running(pid: int, parent: int) -> bool:
    """Whether the process is a running child of `parent`, not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    state, ppid = stat.rpartition(")")[2].split()[:2]
    return state not in "ZX" and int(ppid) == parent
