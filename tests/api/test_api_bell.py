"""The bell of the API: rung at once for a lone submission, together for a burst."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from api.dependencies import BELL_SECONDS, Bell
from storage.database.engine import Database
from storage.delivery.wake_ups import Doorbell
from storage.runs.placement import NOTHING_SPECIAL, Capacity, Needs


class Counting(Doorbell):
    """Counts how often it is rung and for how many runs."""

    def __init__(self) -> None:
        self.rings: list[int] = []
        self.heard = threading.Event()

    def ring(self, runs: Iterable[tuple[str, Needs]], idle: Mapping[Capacity, int]) -> None:
        self.rings.append(len(list(runs)))
        self.heard.set()


def test_a_burst_is_rung_for_together_and_none_is_left_out(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'bell.sqlite3'}")
    db.upgrade()
    doorbell = Counting()
    bell = Bell(doorbell, db)
    bell.start()
    began = time.monotonic()
    for _ in range(200):
        bell.ring([("", NOTHING_SPECIAL)])
        time.sleep(BELL_SECONDS / 40)
    assert doorbell.heard.wait(10)
    bell.stop()
    took = time.monotonic() - began
    db.dispose()
    assert sum(doorbell.rings) == 200
    assert len(doorbell.rings) <= took / BELL_SECONDS + 2
