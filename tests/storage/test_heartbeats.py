"""Heartbeats of several runs in one transaction, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, update
from sqlmodel import col, select

from schemas.status import RunStatus
from storage.database.tables import RunRow
from storage.experiments.cancel import cancel_experiment
from storage.runs.cordons import set_cordon
from storage.runs.heartbeats import Beat, Heartbeat, send_heartbeat, send_heartbeats
from tests.storage.conftest import Store, register

ACTIVE = ((3.0, 10.0, "epochs"), 0.25, 7.5)
SILENT = (None, 0.0, None)
PROGRESS = ("progress_completed", "progress_total", "progress_unit", "step_seconds")
GOES_ON = Heartbeat(alive=True, cancel_requested=False, hand_back=False)


def stored(store: Store, run_id: str) -> dict[str, Any]:
    return store.run(run_id).model_dump(include={*PROGRESS, "elapsed_seconds", "fence", "status"})


@pytest.mark.parametrize("second", [ACTIVE, SILENT, ((4.0, 10.0, "epochs"), 0.5, None)])
def test_several_store_what_each_one_stores(store: Store, second: Any) -> None:
    (_, alone, fence), (_, together, other) = store.start_run(), store.start_run()
    for beat in (ACTIVE, second):
        one = send_heartbeat(store.db, Beat(alone, fence, *beat), 60)
        assert send_heartbeats(store.db, [Beat(together, other, *beat)], 60) == {together: one}
        assert stored(store, alone) == stored(store, together)
        is_active = [store.run(run_id).progress_at is not None for run_id in (alone, together)]
        assert is_active == [True, True]


def test_each_has_its_own_answer_and_one_lease(store: Store) -> None:
    experiment, cancelled, first = store.start_run()
    _, lost, fence = store.start_run()
    _, running, third = store.start_run()
    with store.db.write() as session:
        cancel_experiment(session, experiment)
    beats = [Beat(cancelled, first), Beat(lost, fence - 1), Beat(running, third)]
    assert send_heartbeats(store.db, beats, 60) == {
        cancelled: Heartbeat(alive=True, cancel_requested=True, hand_back=False),
        running: GOES_ON,
    }
    assert store.run(cancelled).lease_until == store.run(running).lease_until


def test_only_the_drained_worker_hands_back(store: Store) -> None:
    for host in ("lab7", "other"):
        register(store, host, pid=1)
    with store.db.write() as session:
        set_cordon(session, "lab7", hand_back=True)
    held = {}
    for worker in ("lab7:1:2", "other:1:2"):
        store.submit()
        with store.db.write() as session:  # a cordoned worker claims nothing
            row = session.exec(select(RunRow).where(RunRow.status == "queued")).one()
            row.status, row.fence, row.worker = RunStatus.RUNNING, 1, worker
            held[worker] = Beat(row.id, 1)
    answers = send_heartbeats(store.db, list(held.values()), 60)
    assert [answers[held[name].run_id].hand_back for name in held] == [True, False]


def test_a_row_in_another_transaction_is_left_out_and_not_waited_for(store: Store) -> None:
    """Else two transactions with several rows each could wait for one another."""
    if store.db.is_sqlite:
        return  # where a transaction locks all rows
    (_, busy, first), (_, free, second) = store.start_run(), store.start_run()
    with store.db.write() as session:
        session.execute(update(RunRow).where(col(RunRow.id) == busy).values(priority=3))
        beats = [Beat(busy, first), Beat(free, second)]
        assert send_heartbeats(store.db, beats, 60) == {free: GOES_ON}
    assert send_heartbeats(store.db, beats, 60) == {busy: GOES_ON, free: GOES_ON}


def test_the_number_of_statements_is_that_of_one(store: Store) -> None:
    held = [Beat(*store.start_run()[1:]) for _ in range(8)]
    counts = []
    for beats in (held[:1], held):
        statements: list[str] = []
        engine = store.db._writer

        def note(_: Any, __: Any, statement: str, *___: Any, into: list[str] = statements) -> None:
            into.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        assert len(send_heartbeats(store.db, beats, 60)) == len(beats)
        event.remove(engine, "before_cursor_execute", note)
        counts.append(len(statements))
    assert counts[0] == counts[1]
