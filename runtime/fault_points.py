"""Fault points: named places at which a test can make a process fail.

They do nothing unless RICHREGIME_FAULT_POINTS names a folder. A file in that folder named like a
fault point (`finish.2`) holds an action; the next process that reaches the point deletes the file
and performs the action. A file `clock` holds seconds by which the wall clock is shifted. The fault
points, in the order in which a run reaches them:

accept.1 experiment committed, wake-up and response not sent
claim.1 run chosen · claim.2 updated, not committed · claim.3 committed
step     between two steps
save.1 started · save.2 stored and registered · save.3 older generation deleted
put.1 written to a temporary name · put.2 renamed
register.1 row inserted, not committed · register.2 committed
finish.1 started · finish.2 updated, not committed · finish.3 committed · finish.4 resume state
deleted
look.1 verdicts known, not stored · look.2 stored, not committed · look.3 committed
summary.1 computed, not stored · summary.2 stored
wake.1 wake-up not sent · wake.2 sent, not stored as sent
delivery.1 sent, not stored as sent
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

FOLDER_VARIABLE = "RICHREGIME_FAULT_POINTS"
PLACES = (
    *("accept.1", "claim.1", "claim.2", "claim.3", "step"),
    *("save.1", "save.2", "save.3", "put.1", "put.2", "register.1", "register.2"),
    *("finish.1", "finish.2", "finish.3", "finish.4", "look.1", "look.2", "look.3"),
    *("summary.1", "summary.2", "wake.1", "wake.2", "delivery.1"),
)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang() -> None:
    time.sleep(3600)


def _fill_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _exhaust_memory() -> None:
    raise MemoryError


ACTIONS: dict[str, Callable[[], None]] = {
    "kill": _kill,
    "hang": _hang,
    "full": _fill_disk,
    "memory": _exhaust_memory,
}


def listener_for_folder(folder: Path) -> Callable[[str], None]:
    """A listener that performs the actions in the folder's files."""

    def perform(name: str) -> None:
        file = folder / name
        if file.exists():
            try:
                action = file.read_text()
                file.unlink()
            except FileNotFoundError:
                return  # another process took it
            ACTIONS[action]()

    return perform


listener: Callable[[str], None] | None = (
    listener_for_folder(Path(os.environ[FOLDER_VARIABLE]))
    if FOLDER_VARIABLE in os.environ
    else None
)


def _read_shift() -> float:
    """The content of the folder's file `clock`: seconds to add to the wall clock; 0 without it."""
    try:
        return float((Path(os.environ[FOLDER_VARIABLE]) / "clock").read_text())
    except FileNotFoundError:
        return 0.0


clock_shift: Callable[[], float] = _read_shift if FOLDER_VARIABLE in os.environ else lambda: 0.0


def reach(name: str) -> None:
    """Report to the listener that this process has reached the fault point."""
    if listener is not None:
        listener(name)
