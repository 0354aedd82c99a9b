"""Passes that one process of all makes, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from storage.database.tables import DuePassRow
from storage.runs.passes import DUE_AFTER, begin_pass
from tests.storage.conftest import Store

HOUR = 3_600.0


def shift(store: Store, seconds: float) -> None:
    """As if the next pass was due so much later."""
    with store.db.write() as session:
        row = session.get(DuePassRow, "reconcile")
        assert row is not None
        session.execute(update(DuePassRow).values(due_at=row.due_at + timedelta(seconds=seconds)))


def test_one_of_many_gets_the_pass_and_each_name_has_its_own(store: Store) -> None:
    for _ in range(2):
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda _: begin_pass(store.db, "reconcile", HOUR), range(40)))
        assert sum(taken) == 1
        shift(store, -HOUR)
    assert begin_pass(store.db, "looks", HOUR)


def test_the_next_pass_is_due_a_little_before_the_interval_is_over(store: Store) -> None:
    """Whoever made the last one: it may have died since."""
    assert begin_pass(store.db, "reconcile", HOUR)
    shift(store, -HOUR * DUE_AFTER + 60)
    assert not begin_pass(store.db, "reconcile", HOUR)
    shift(store, -60)
    assert begin_pass(store.db, "reconcile", HOUR)


@pytest.mark.parametrize(("shifted", "is_taken"), [(0.2 * HOUR, False), (10 * HOUR, True)])
def test_a_clock_that_was_set_back_stops_no_pass(
    store: Store, shifted: float, is_taken: bool
) -> None:
    assert begin_pass(store.db, "reconcile", HOUR)
    shift(store, shifted)
    assert begin_pass(store.db, "reconcile", HOUR) is is_taken
