"""Named places in the moves where a test may strike; inert unless RICHREGIME_FAULT_POINTS names a folder.

A file in that folder named like the place (`finish.2`) and holding an action strikes whoever reaches the place next, and
is gone then. The places, in the order a run reaches them:

accept.1 an experiment committed, its wake-up not yet sent and its answer not given
claim.1 chosen · claim.2 moved, not committed · claim.3 committed
step     between two steps
save.1 begun · save.2 stored and registered · save.3 older generation deleted
put.1 written, not yet under its name · put.2 under its name
register.1 row written, not committed · register.2 committed
finish.1 begun · finish.2 moved, not committed · finish.3 committed · finish.4 resume state deleted
summary.1 made, not stored · summary.2 stored
wake.1 committed, wake-up not sent · wake.2 sent, not noted
delivery.1 sent, not noted
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
    *("finish.1", "finish.2", "finish.3", "finish.4", "summary.1", "summary.2", "wake.1", "wake.2"),
    "delivery.1",
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
    """A listener that does what the folder's files say."""

    def strike(name: str) -> None:
        order = folder / name
        if order.exists():
            try:
                action = order.read_text()
                order.unlink()
            except FileNotFoundError:
                return  # another process was faster
            ACTIONS[action]()

    return strike


listener: Callable[[str], None] | None = (
    listener_for_folder(Path(os.environ[FOLDER_VARIABLE]))
    if FOLDER_VARIABLE in os.environ
    else None
)


def reach(name: str) -> None:
    """Tell that this process has come to the place."""
    if listener is not None:
        listener(name)
