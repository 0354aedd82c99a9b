"""The event log of an experiment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.results.events import append_event, list_events, newest_events
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")


def append_and_fail(store: Store, experiment_id: str) -> None:
    with store.db.write() as session:
        append_event(session, experiment_id, "training.note", {})
        raise InterruptedError


def test_concurrent_events_are_numbered_without_gaps(store: Store) -> None:
    experiment_id, _ = store.submit()

    def write(number: int) -> list[int]:
        sequences = []
        for step in range(15):
            with store.db.write() as session:
                sequences.append(
                    append_event(session, experiment_id, "training.note", {"at": [number, step]})
                )
        return sequences

    with ThreadPoolExecutor(6) as pool:
        returned = sorted(number for found in pool.map(write, range(6)) for number in found)
    with store.db.read() as session:
        events = list_events(session, experiment_id, 0, 1_000)
    assert [event.sequence for event in events] == list(range(1, 92))
    assert returned == list(range(2, 92))


def test_newest_events_leave_out_one_name(store: Store) -> None:
    experiment_id, _ = store.submit()
    with store.db.write() as session:
        for step in range(10):
            append_event(session, experiment_id, "run.progress", {"completed": step})
            append_event(session, experiment_id, "training.note", {"step": step})
    with store.db.read() as session:
        found = newest_events(session, experiment_id, 3, without="run.progress")
    assert [(event.name, event.data["step"]) for event in found] == [
        ("training.note", at) for at in (9, 8, 7)
    ]


def test_a_rolled_back_event_uses_no_number(store: Store) -> None:
    experiment_id, _ = store.submit()
    with pytest.raises(InterruptedError):
        append_and_fail(store, experiment_id)
    with store.db.write() as session:
        assert append_event(session, experiment_id, "training.note", {}) == 2
