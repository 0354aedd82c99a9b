"""Simulated workers that execute the service's own statements against a database."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import insert, select, text, update

from runtime.settings import Settings
from schemas.status import RunStatus
from storage.database.engine import Database, database_now
from storage.database.ids import new_id
from storage.database.tables import ExperimentRow, PointRow, RunRow
from storage.files.blobs import BlobStore
from storage.runs.claim import claim_next
from storage.runs.claim_order import RUN, claim_group_of, rank_of
from storage.runs.clock_watch import ClockWatch
from storage.runs.heartbeats import Beat, send_heartbeats
from storage.runs.placement import Needs
from storage.runs.reconcile import reconcile_in_turn
from storage.runs.transitions import finish_run

OWNERS = 5
RUNS_OF_EXPERIMENT = 1_000
RUNS_PER_SECOND = 20
"""Claims of all workers together: with more workers each run takes longer"""
CONNECTIONS = 8
HEARTBEAT_SECONDS = float(Settings.model_fields["heartbeat_seconds"].default)
PASS_SECONDS = float(Settings.model_fields["reconcile_seconds"].default)
LEASE_SECONDS = 600.0
"""So long that none ends while the database is at its limit"""
NEEDS = Needs("any", 512 << 20)


@dataclass(eq=False)
class SimulatedParent:
    """The runs of a parent's children, whose heartbeats it sends together."""

    number: int
    runs: dict[str, Beat] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = ClockWatch(LEASE_SECONDS, PASS_SECONDS)


@dataclass
class SimulatedWorkers:
    """Parents with children, each with one due action. Free threads perform the earliest one.

    slots: children of each parent.
    """

    db: Database
    blobs: BlobStore
    workers: int
    slots: int
    until: float
    durations: dict[str, list[float]] = field(
        default_factory=lambda: {"claim": [], "heartbeats": [], "finish": [], "pass_": []}
    )
    claim_cpu_seconds: list[float] = field(default_factory=list)
    """Of each claim"""
    heartbeats: int = 0
    """Of single runs, however many were sent together"""
    passes: int = 0
    """Reconciliations that were made"""
    longest_delay: float = 0.0
    due: list[tuple[float, int, str, Any]] = field(default_factory=list)
    _lock: threading.Condition = field(default_factory=threading.Condition)
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def run_seconds(self) -> float:
        return self.workers / RUNS_PER_SECOND

    @property
    def overdue(self) -> int:
        """Heartbeats of single runs that were due before the end and not sent."""
        return sum(
            len(parent.runs)
            for at, _, action, parent in self.due
            if action == "heartbeats" and at < self.until
        )

    def schedule(self, at: float, action: str, subject: Any = None) -> None:
        with self._lock:
            heapq.heappush(self.due, (at, next(self._numbers), action, subject))
            self._lock.notify()

    def run(self, held: list[tuple[str, int]]) -> None:
        """held: running runs and their fences, at most one for each worker."""
        began = time.perf_counter()
        parents = [SimulatedParent(n) for n in range(-(-self.workers // self.slots))]
        for parent in parents:
            phase = 0.618 * parent.number % 1
            self.schedule(began + phase * HEARTBEAT_SECONDS, "heartbeats", parent)
            self.schedule(began + phase * PASS_SECONDS, "pass_", parent)
        for index, run in enumerate(held):
            left = self.run_seconds * index / len(held)
            self._start_run(parents[index // self.slots], run, began + left)
        for index in range(len(held), self.workers):
            self.schedule(began, "claim", parents[index // self.slots])
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for done in [pool.submit(self._work) for _ in range(CONNECTIONS)]:
                done.result()

    def _start_run(self, parent: SimulatedParent, run: tuple[str, int], ends: float) -> None:
        run_id, fence = run
        parent.runs[run_id] = Beat(run_id, fence, (1.0, 2.0, "epochs"), 0.01, 1.0)
        self.schedule(ends, "finish", (parent, run_id, fence))

    def _next(self) -> tuple[float, str, Any] | None:
        with self._lock:
            while time.perf_counter() < self.until:
                wait = self.due[0][0] - time.perf_counter() if self.due else 0.05
                if self.due and wait <= 0:
                    at, _, action, subject = heapq.heappop(self.due)
                    return at, action, subject
                self._lock.wait(min(max(wait, 0.0005), 0.05))
        return None

    def _work(self) -> None:
        while (job := self._next()) is not None:
            due, action, subject = job
            began = time.perf_counter()
            self.longest_delay = max(self.longest_delay, began - due)
            getattr(self, f"_{action}")(subject, due)
            self.durations[action].append(time.perf_counter() - began)

    def _claim(self, parent: SimulatedParent, _: float) -> None:
        began = time.thread_time()
        claim = claim_next(
            self.db,
            worker=f"simulated:{parent.number}:{threading.get_ident()}",
            device_class="cpu",
            device="cpu",
            lease_seconds=LEASE_SECONDS,
            memory_bytes=8 << 30,
        )
        assert claim is not None, "the queue is empty"
        self.claim_cpu_seconds.append(time.thread_time() - began)
        ends = time.perf_counter() + self.run_seconds
        self._start_run(parent, (claim.run_id, claim.fence), ends)

    def _heartbeats(self, parent: SimulatedParent, due: float) -> None:
        """All of this moment; the next ones are due at the next moment of the clock."""
        beats = list(parent.runs.values())
        if beats:
            send_heartbeats(self.db, beats, LEASE_SECONDS)
            self.heartbeats += len(beats)
        self.schedule(due + HEARTBEAT_SECONDS, "heartbeats", parent)

    def _pass_(self, parent: SimulatedParent, due: float) -> None:
        """What a parent's reconciler does."""
        settings = Settings(lease_seconds=LEASE_SECONDS, reconcile_seconds=PASS_SECONDS)
        made = reconcile_in_turn(self.db, self.blobs, settings, lambda _: None, parent.clock)
        self.passes += made
        self.schedule(due + PASS_SECONDS, "pass_", parent)

    def _finish(self, run: tuple[SimulatedParent, str, int], _: float) -> None:
        parent, run_id, fence = run
        with self.db.write() as session:
            assert finish_run(session, run_id, fence, [], {})
        parent.runs.pop(run_id)
        self.schedule(time.perf_counter(), "claim", parent)


def add_waiting_runs(db: Database, number: int) -> None:
    """Add this many waiting runs, of several owners in turn."""
    now = datetime.now(UTC)
    for start in range(0, number, RUNS_OF_EXPERIMENT):
        owner = f"owner{start // RUNS_OF_EXPERIMENT % OWNERS}"
        experiment_id, point_id = new_id("exp"), new_id("pt")
        row = {"owner": owner, "kind": "train", "spec": {"kind": "train"}, "digest": experiment_id}
        run = {
            "experiment_id": experiment_id,
            "point_id": point_id,
            "seeds": [0],
            "owner": owner,
            "memory_bytes": NEEDS.memory_bytes,
            "claim_group": claim_group_of(owner, NEEDS),
            "rank": rank_of(now, 0),
            "created_at": now,
            "woken_at": now,
        }
        runs = [
            {**run, "id": new_id("run")} for _ in range(min(RUNS_OF_EXPERIMENT, number - start))
        ]
        with db.write() as session:
            session.execute(
                insert(ExperimentRow), [{**row, "id": experiment_id, "created_at": now}]
            )
            point = {
                "id": point_id,
                "experiment_id": experiment_id,
                "index": 0,
                "values": {},
                "spec": {"kind": "train"},
            }
            session.execute(insert(PointRow), [{**point, "digest": point_id}])
            session.execute(insert(RunRow), runs)
    if not db.is_sqlite:
        # Postgres does this by itself within a minute of so many new rows.
        with db.write() as session:
            session.execute(text("ANALYZE"))


def claim_many(db: Database, number: int) -> list[tuple[str, int]]:
    """Mark waiting runs as running, so that many workers need not start with as many claims."""
    with db.write() as session:
        waiting = select(RUN.c.id).where(RUN.c.status == RunStatus.QUEUED).order_by(RUN.c.id.desc())
        ids = list(session.scalars(waiting.limit(number)))
        now = database_now(session)
        values = {"status": RunStatus.RUNNING, "fence": 1, "claimed_at": now, "started_at": now}
        values |= {"lease_until": now + timedelta(hours=1), "worker": "simulated:1:1"}
        session.execute(update(RUN).where(RUN.c.id.in_(ids)).values(**values))
    return [(run_id, 1) for run_id in ids]


def end_running_runs(db: Database) -> None:
    """Mark all running runs as succeeded, for the next measurement."""
    with db.write() as session:
        running = update(RUN).where(RUN.c.status == RunStatus.RUNNING)
        session.execute(running.values(status=RunStatus.SUCCEEDED, lease_until=None))
