"""The wake-up of the API: rung at once for a lone submission, together for a burst."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from api.background.wake_ups import BATCH_SECONDS, WakeUpSender
from storage.database.engine import Database
from storage.delivery.wake_ups import WakeUps
from storage.runs.placement import NO_NEEDS, Capacity, Needs


class Counting(WakeUps):
    """Counts how often it is rung and for how many runs."""

    def __init__(self) -> None:
        self.rings: list[int] = []
        self.heard = threading.Event()

    def send(self, runs: Iterable[Needs], idle: Mapping[Capacity, int]) -> None:
        self.rings.append(len(list(runs)))
        self.heard.set()


def test_a_burst_is_rung_for_together_and_none_is_left_out(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'wake-up.sqlite3'}")
    db.upgrade()
    wake_ups = Counting()
    channel = WakeUpSender(wake_ups, db)
    channel.start()
    began = time.monotonic()
    for _ in range(200):
        channel.send([NO_NEEDS])
        time.sleep(BATCH_SECONDS / 40)
    assert wake_ups.heard.wait(10)
    channel.stop()
    took = time.monotonic() - began
    db.dispose()
    assert sum(wake_ups.rings) == 200
    assert len(wake_ups.rings) <= took / BATCH_SECONDS + 2
