"""Actions at fault points of this process, such as the death of its worker."""

from __future__ import annotations

from collections.abc import Callable, Collection

SetListener = Callable[[Callable[[str], None] | None], None]
"""Sets the function that is called at each fault point"""


class WorkerKilled(BaseException):
    """The worker dies: a BaseException, so that no handler of the worker runs on."""


class FaultInjector:
    """Performs an action once, at the `at`th fault point or the first later one not in `skipped`.

    at: counted from 1; 0 only records the fault points.
    """

    def __init__(self, at: int, action: Callable[[], None], skipped: Collection[str] = ()) -> None:
        self.reached: list[str] = []
        self.injected = False
        self._at, self._action, self._skipped = at, action, skipped

    def __call__(self, name: str) -> None:
        self.reached.append(name)
        if not self.injected and len(self.reached) >= self._at > 0 and name not in self._skipped:
            self.injected = True
            self._action()


def kill_worker() -> None:
    raise WorkerKilled


class KillAt:
    """Kills the worker once, when it reaches a fault point for the `count`th time."""

    def __init__(self, name: str, count: int = 1) -> None:
        self._name, self._count, self._reached = name, count, 0

    def __call__(self, name: str) -> None:
        if name == self._name:
            self._reached += 1
            if self._reached == self._count:
                kill_worker()
