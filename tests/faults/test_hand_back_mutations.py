"""Removes each protection of a drained worker's run once, and checks that the hand-back fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from storage.runs import claim as claims
from storage.runs import heartbeats
from storage.runs.cordons import remove_cordon, set_cordon
from storage.runs.lease_expiry import expire_worker
from storage.runs.workers import register_worker
from tests.faults.fault_injection import SetListener
from tests.faults.in_process_worker import SEEDS, SPEC, WORKER_NAME, InProcessWorker
from tests.faults.invariants import Reference, examine
from tests.waiting import wait_until
from workers import context

Patch = pytest.MonkeyPatch
DRAINED_AT_STEP = 3
MUTATIONS: list[tuple[str, Callable[[Patch], None], str]] = [
    (
        "a heartbeat tells the worker to hand its run back",
        lambda patch: patch.setattr(heartbeats, "find_cordon", lambda *_: None),
        "is succeeded",
    ),
    (
        "a run is saved before it is handed back",
        lambda patch: patch.setattr(context, "YIELD_SECONDS", -1.0),
        "was not saved",
    ),
    (
        "a drained worker claims nothing",
        lambda patch: patch.setattr(claims, "find_cordon", lambda *_: None),
        "was claimed by the drained worker",
    ),
]


class DrainAt:
    """Drains the worker at a step, and goes on when its lease must know."""

    def __init__(self, worker: InProcessWorker, run_id: str) -> None:
        self._worker, self._run_id, self._steps = worker, run_id, 0

    def __call__(self, name: str) -> None:
        if name != "step":
            return
        self._steps += 1
        if self._steps != DRAINED_AT_STEP:
            return
        with self._worker.db.write() as session:
            set_cordon(session, "host", hand_back=True)
        for _ in range(2):  # the second heartbeat begins when the first was read
            self._wait_for_heartbeat()

    def _wait_for_heartbeat(self) -> None:
        before = self._worker.run(self._run_id).lease_until
        wait_until(lambda: self._worker.run(self._run_id).lease_until != before, 30)


def drain(worker: InProcessWorker, set_listener: SetListener, reference: Reference) -> str:
    """Drain a worker in a run, which another one then ends; returns what went wrong."""
    _, run_id = worker.submit(SPEC, SEEDS)
    held = worker.require_claim()
    set_listener(DrainAt(worker, run_id))
    worker.execute(held)
    set_listener(None)
    found, row = [], worker.run(run_id)
    if (row.status, row.attempts, row.interruptions) != ("queued", 0, 1):
        found.append(f"is {row.status} after {row.attempts} attempts")
    if not worker.resume_states(run_id):
        found.append("was not saved")
    if row.status == "queued" and worker.claim() is not None:
        found.append("was claimed by the drained worker")
        expire_worker(worker.db, WORKER_NAME, 3)
    other = worker.claim("other:1:2")
    if other is not None:
        worker.execute(other)
    with worker.db.write() as session:
        remove_cordon(session, "host")
    found += examine(worker.db, worker.blobs, worker.accepted, reference).all()
    return " / ".join(found)


@pytest.mark.parametrize(
    ("remove_protection", "violation"),
    [one[1:] for one in MUTATIONS],
    ids=[one[0] for one in MUTATIONS],
)
def test_a_hand_back_needs_each_of_its_protections(
    worker: InProcessWorker,
    set_listener: SetListener,
    remove_protection: Callable[[Patch], None],
    violation: str,
) -> None:
    seldom = worker.settings.model_copy(update={"checkpoint_seconds": 1e6})
    worker = replace(worker, settings=seldom)
    reference = worker.reference(SPEC, SEEDS)
    with worker.db.write() as session:
        register_worker(
            session,
            host="host",
            pid=1,
            device="cpu",
            device_class="cpu",
            slots=1,
            memory_bytes=0,
            versions={},
        )
    assert drain(worker, set_listener, reference) == ""
    with pytest.MonkeyPatch.context() as patch:
        remove_protection(patch)
        assert violation in drain(worker, set_listener, reference)
