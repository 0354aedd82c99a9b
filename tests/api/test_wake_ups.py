"""The wake-up sender: one submission is sent at once, a burst in batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from api.background.wake_ups import BATCH_SECONDS, WakeUpSender
from storage.database.engine import Database
from storage.delivery.wake_ups import WakeUps
from storage.runs.placement import NO_NEEDS, Capacity, Needs
from tests.waiting import wait_until


class CountingWakeUps(WakeUps):
    """Records the number of runs of each batch."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.sent = threading.Event()

    def send(self, runs: Iterable[Needs], idle: Mapping[Capacity, int]) -> None:
        self.batches.append(len(list(runs)))
        self.sent.set()


def test_a_burst_is_sent_in_batches_and_no_run_is_left_out(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'wake-up.sqlite3'}")
    db.upgrade()
    wake_ups = CountingWakeUps()
    sender = WakeUpSender(wake_ups, db)
    sender.start()
    began = time.monotonic()
    for _ in range(200):
        sender.send([NO_NEEDS])
        time.sleep(BATCH_SECONDS / 40)
    assert wake_ups.sent.wait(10)
    sender.stop()
    took = time.monotonic() - began
    db.dispose()
    assert sum(wake_ups.batches) == 200
    assert len(wake_ups.batches) <= took / BATCH_SECONDS + 2


class FailingOnce(CountingWakeUps):
    def has_sent(self, batches: int) -> bool:
        return len(self.batches) == batches

    def send(self, runs: Iterable[Needs], idle: Mapping[Capacity, int]) -> None:
        super().send(runs, idle)
        if len(self.batches) == 1:
            raise ZeroDivisionError("a defect")


def test_an_unexpected_error_does_not_end_the_thread(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'wake-up.sqlite3'}")
    db.upgrade()
    wake_ups = FailingOnce()
    sender = WakeUpSender(wake_ups, db)
    sender.start()
    for number in (1, 2):
        sender.send([NO_NEEDS])
        wait_until(partial(wake_ups.has_sent, number))
    sender.stop()
    db.dispose()
