"""Writers of one process take turns, and wait for SQLite's lock no longer than is said."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from runtime.fair_lock import FairLock
from storage.database import engine as storage_db
from storage.database.engine import Database, DatabaseUnavailable
from tests.waiting import wait_until

PATIENCE = 30.0


def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    fair_lock, had = FairLock(), []

    def take(number: int) -> None:
        assert fair_lock.acquire(PATIENCE)
        had.append(number)
        fair_lock.release()

    assert fair_lock.acquire(PATIENCE)
    threads = [threading.Thread(target=take, args=(number,)) for number in range(20)]
    for count, thread in enumerate(threads, 1):
        thread.start()
        wait_until(lambda count=count: len(fair_lock._waiting) == count)
    fair_lock.release()
    take(20)
    for thread in threads:
        thread.join()
    assert had == list(range(21)), "whoever comes last overtakes nobody"


def test_who_has_waited_long_enough_leaves_the_line_and_nobody_is_lost() -> None:
    fair_lock = FairLock()
    assert fair_lock.acquire(PATIENCE)
    assert not fair_lock.acquire(0.01)
    with ThreadPoolExecutor(8) as pool:
        early = [pool.submit(fair_lock.acquire, 0.0005 * number) for number in range(7)]
        late = pool.submit(fair_lock.acquire, PATIENCE)
        time.sleep(0.002)
        fair_lock.release()  # while others give up
        for one in early:
            if one.result():
                fair_lock.release()
        assert late.result()
    assert fair_lock._waiting == fair_lock._waiting.__class__()
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


def test_many_writers_at_a_locked_file_are_told_in_the_time_of_one_and_it_heals(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_db, "LOCKED_SECONDS", 1.0)
    other = sqlite3.connect(sqlite.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def be_refused(number: int) -> float:
        time.sleep(0.1 * number)
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            write(sqlite)
        return time.monotonic() - began

    with ThreadPoolExecutor(8) as pool:
        waited = list(pool.map(be_refused, range(8)))
    assert min(waited) > 0.9
    assert max(waited) < 1.8, "each waits for itself alone"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(write, sqlite)
        time.sleep(0.2)
        other.execute("ROLLBACK")
        waiting.result()
    other.close()
