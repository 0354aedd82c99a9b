"""Heartbeats of a parent's children that one of them sends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from typing import Any

import pytest

from storage.database.engine import DatabaseUnavailable
from storage.experiments.cancel import cancel_experiment
from storage.runs.claim import Claim
from storage.runs.heartbeats import Beat, Heartbeat
from storage.runs.lease_expiry import expire_worker
from tests.waiting import wait_until
from tests.workers.run_contexts import WORKER_NAME
from tests.workers.worker_harness import WorkerHarness
from workers import lease as lease_module
from workers.lease import Lease
from workers.shared_heartbeats import SharedHeartbeats, SlotHeartbeats, seconds_to_tick

MINE, OTHER = Beat("mine", 1), Beat("other", 2, (1.0, 2.0, "epochs"), 0.5, 3.0)
ALIVE = Heartbeat(alive=True, cancel_requested=False, hand_back=False)
CANCELLED = Heartbeat(alive=True, cancel_requested=True, hand_back=False)
PATIENCE = 60.0


def post(shared: SharedHeartbeats, slot: int, beat: Beat | None, number: int = 1) -> None:
    """As the child of the slot does."""
    shared._write(2 * slot, number, None if beat is None else list(astuple(beat)))


def answer_of(shared: SharedHeartbeats, slot: int) -> Any:
    record = shared._read(2 * slot + 1)
    return None if record is None else (record.number, record.content)


class Sender:
    """Answers each beat, and notes which ones came together."""

    def __init__(self, answers: dict[str, Heartbeat]) -> None:
        self.answers, self.sent = answers, list[list[Beat]]()

    def __call__(self, beats: Sequence[Beat]) -> dict[str, Heartbeat]:
        self.sent.append(list(beats))
        return self.answers


def test_one_sends_what_all_have_posted_and_stores_their_answers() -> None:
    shared, send = SharedHeartbeats(3), Sender({"mine": ALIVE, "other": CANCELLED})
    post(shared, 2, OTHER, number=7)
    assert shared.renew(0, MINE, send, PATIENCE) == ALIVE
    assert send.sent == [[MINE, OTHER]]
    assert answer_of(shared, 2) == (7, [True, True, False])
    assert shared.renew(0, MINE, send, PATIENCE) == ALIVE
    assert send.sent[1:] == [[MINE]], "the other one has its answer"


@pytest.mark.parametrize("number", [1, 2])
def test_a_withdrawn_or_half_written_beat_is_not_sent(number: int) -> None:
    shared, send = SharedHeartbeats(2), Sender({"mine": ALIVE})
    post(shared, 1, OTHER)
    if number == 2:
        shared._memory[2 * 1_024 + 20] ^= 1
    else:
        post(shared, 1, None)
    assert shared.renew(0, MINE, send, PATIENCE) == ALIVE
    assert send.sent == [[MINE]]


def test_a_beat_without_an_answer_is_to_be_sent_alone() -> None:
    shared = SharedHeartbeats(2)
    post(shared, 1, OTHER)
    assert shared.renew(0, MINE, Sender({"other": ALIVE}), PATIENCE) is None
    assert answer_of(shared, 1) == (1, [True, False, False])


def test_a_failure_is_raised_by_the_sender_and_the_others_ask_alone() -> None:
    def fail(_: Sequence[Beat]) -> dict[str, Heartbeat]:
        raise DatabaseUnavailable("no response", None, TimeoutError())

    shared = SharedHeartbeats(2)
    post(shared, 1, OTHER)
    with pytest.raises(DatabaseUnavailable):
        shared.renew(0, MINE, fail, PATIENCE)
    assert answer_of(shared, 1) == (1, None)
    assert shared.renew(0, MINE, Sender({"mine": ALIVE}), PATIENCE) == ALIVE, "the lock is free"


@contextmanager
def forked_child(work: Any) -> Iterator[int]:
    """The process id of a child that calls `work` and ends."""
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    assert child.pid is not None
    try:
        yield child.pid
    finally:
        child.kill()
        child.join()


def test_a_child_waits_for_no_sender_that_hangs_and_its_death_frees_the_lock() -> None:
    shared = SharedHeartbeats(2)
    hangs = multiprocessing.get_context("fork").Event()

    def hang(_: Sequence[Beat]) -> dict[str, Heartbeat]:
        hangs.set()
        time.sleep(PATIENCE)
        return {}

    with forked_child(lambda: shared.renew(1, OTHER, hang, PATIENCE)) as child:
        assert hangs.wait(PATIENCE)
        os.kill(child, signal.SIGSTOP)
        never = Sender({})
        assert shared.renew(0, MINE, never, 0.05) is None
        assert never.sent == []
        os.kill(child, signal.SIGKILL)
        send = Sender({"mine": ALIVE})
        wait_until(lambda: shared.renew(0, MINE, send, 0.2) == ALIVE, PATIENCE)
    assert [MINE] in [[one for one in sent if one == MINE] for sent in send.sent]


def answer_by_fence(beats: Sequence[Beat]) -> dict[str, Heartbeat]:
    """Odd fences are cancelled."""
    return {beat.run_id: CANCELLED if beat.fence % 2 else ALIVE for beat in beats}


def test_children_that_are_due_together_get_their_own_answers() -> None:
    shared, rounds, slots = SharedHeartbeats(4), 20, range(4)
    results = multiprocessing.get_context("fork").SimpleQueue()

    def beat(slot: int) -> None:
        for number in range(rounds):
            sent = Beat(f"run{slot}", number)

            answer = shared.renew(slot, sent, answer_by_fence, PATIENCE)
            results.put((slot, number, answer is not None and answer.cancel_requested))

    children = [
        multiprocessing.get_context("fork").Process(target=beat, args=(slot,)) for slot in slots
    ]
    for child in children:
        child.start()
    found = {results.get() for _ in range(len(children) * rounds)}
    for child in children:
        child.join()
    assert found == {(slot, number, number % 2 == 1) for slot in slots for number in range(rounds)}


def test_ticks_of_one_parent_are_the_same_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = set()
    for now in (100.0, 100.3, 100.9, 101.0):
        monkeypatch.setattr(time, "monotonic", lambda at=now: at)
        left = seconds_to_tick(1.0, parent=7)
        assert 0 < left <= 1
        ticks.add(round((now + left) % 1, 6))
    assert len(ticks) == 1
    assert round((101.0 + seconds_to_tick(1.0, parent=8)) % 1, 6) not in ticks


@pytest.fixture
def lease(harness: WorkerHarness, claim: Claim) -> Lease:
    shared = SlotHeartbeats(SharedHeartbeats(2), 0)
    return Lease(harness.db, harness.settings, claim.run_id, claim.fence, 0.0, shared)


def test_the_lease_learns_of_a_cancel_request_through_the_shared_heartbeat(
    harness: WorkerHarness, claim: Claim, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("it was sent alone")

    monkeypatch.setattr(lease_module, "send_heartbeat", fail)
    assert lease._beat_with_others()
    assert not lease.is_cancelled
    with harness.db.write() as session:
        cancel_experiment(session, claim.experiment_id)
    assert lease._beat_with_others()
    assert lease.is_cancelled


def test_a_lost_run_is_found_by_a_heartbeat_alone(harness: WorkerHarness, lease: Lease) -> None:
    expire_worker(harness.db, WORKER_NAME, 3)
    assert not lease._beat_with_others()
    assert lease.is_lost
