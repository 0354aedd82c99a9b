"""The fair lock is acquired in the order of the requests, and SQLite's writers use it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import text

from runtime.fair_lock import FairLock
from storage.database import engine
from storage.database.engine import Database, DatabaseUnavailable
from tests.waiting import wait_until

TIMEOUT = 30.0


def test_the_lock_is_acquired_in_the_order_of_the_requests() -> None:
    fair_lock = FairLock()
    acquired: list[int] = []

    def has_waiting(count: int) -> bool:
        return len(fair_lock._waiting) == count

    def take(number: int) -> None:
        assert fair_lock.acquire(TIMEOUT)
        acquired.append(number)
        fair_lock.release()

    assert fair_lock.acquire(TIMEOUT)
    threads = [threading.Thread(target=take, args=(number,)) for number in range(20)]
    for count, thread in enumerate(threads, 1):
        thread.start()
        wait_until(partial(has_waiting, count))
    fair_lock.release()
    take(20)
    for thread in threads:
        thread.join()
    assert acquired == list(range(21)), "a later request overtakes no earlier one"


def test_a_request_that_times_out_leaves_the_queue_and_no_other_is_lost() -> None:
    fair_lock = FairLock()
    assert fair_lock.acquire(TIMEOUT)
    assert not fair_lock.acquire(0.01)
    with ThreadPoolExecutor(8) as pool:
        early = [pool.submit(fair_lock.acquire, 0.0005 * number) for number in range(7)]
        late = pool.submit(fair_lock.acquire, TIMEOUT)
        time.sleep(0.002)
        fair_lock.release()  # while others time out
        for one in early:
            if one.result():
                fair_lock.release()
        assert late.result()
    assert not fair_lock._waiting
    fair_lock.release()
    assert fair_lock.acquire(0.0)


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    made = Database(sqlite_url)
    yield made
    made.dispose()


def write(db: Database) -> None:
    with db.write() as session:
        session.execute(text("UPDATE experiment SET priority = 0"))


def test_concurrent_writers_of_a_locked_file_all_fail_within_one_timeout_and_recover(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOCKED_SECONDS", 1.0)
    other = sqlite3.connect(sqlite.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def fail_to_write(number: int) -> float:
        time.sleep(0.1 * number)
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            write(sqlite)
        return time.monotonic() - began

    with ThreadPoolExecutor(8) as pool:
        waited = list(pool.map(fail_to_write, range(8)))
    assert min(waited) > 0.9
    assert max(waited) < 1.8, "their timeouts do not add up"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(write, sqlite)
        time.sleep(0.2)
        other.execute("ROLLBACK")
        waiting.result()
    other.close()
