"""Simulated workers that execute the service's own statements against a database."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

from sqlalchemy import insert, select, text, update

from runtime.settings import Settings
from schemas.status import RunStatus
from storage.database.engine import Database, database_now
from storage.database.ids import new_id
from storage.database.tables import ExperimentRow, PointRow, RunRow
from storage.runs.claim import claim_next
from storage.runs.claim_order import RUN, claim_group_of, rank_of
from storage.runs.placement import Needs
from storage.runs.transitions import finish_run, heartbeat

OWNERS = 5
RUNS_OF_EXPERIMENT = 1_000
RUNS_PER_SECOND = 20
"""Claims of all workers together: with more workers each run takes longer"""
CONNECTIONS = 8
HEARTBEAT_SECONDS = float(Settings.model_fields["heartbeat_seconds"].default)
NEEDS = Needs("any", 512 << 20)


@dataclass
class SimulatedWorkers:
    """Workers with one due action each. Free threads perform the earliest due action."""

    db: Database
    workers: int
    until: float
    durations: dict[str, list[float]] = field(
        default_factory=lambda: {"claim": [], "heartbeat": [], "finish": []}
    )
    claim_cpu_seconds: list[float] = field(default_factory=list)
    """Of each claim"""
    longest_delay: float = 0.0
    due: list[tuple[float, int, str, Any]] = field(default_factory=list)
    _lock: threading.Condition = field(default_factory=threading.Condition)
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def run_seconds(self) -> float:
        return self.workers / RUNS_PER_SECOND

    def schedule(self, delay: float, action: str, run: Any = None) -> None:
        with self._lock:
            heapq.heappush(
                self.due, (time.perf_counter() + delay, next(self._numbers), action, run)
            )
            self._lock.notify()

    def run(self, held: list[tuple[str, int]]) -> None:
        for index, run in enumerate(held):
            self.start_run(run, self.run_seconds * index / len(held))
        for _ in range(self.workers - len(held)):
            self.schedule(0.0, "claim")
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for done in [pool.submit(self._work) for _ in range(CONNECTIONS)]:
                done.result()

    def start_run(self, run: tuple[str, int], seconds: float) -> None:
        """Schedule the run's heartbeats until it ends."""
        ends = time.perf_counter() + seconds
        self.schedule(
            min(seconds, HEARTBEAT_SECONDS * (0.618 * next(self._numbers) % 1)),
            "heartbeat",
            (*run, ends),
        )

    def _next(self) -> tuple[float, str, Any] | None:
        with self._lock:
            while time.perf_counter() < self.until:
                wait = self.due[0][0] - time.perf_counter() if self.due else 0.05
                if self.due and wait <= 0:
                    at, _, action, run = heapq.heappop(self.due)
                    return at, action, run
                self._lock.wait(min(max(wait, 0.0005), 0.05))
        return None

    def _work(self) -> None:
        while (job := self._next()) is not None:
            due, action, run = job
            began = time.perf_counter()
            self.longest_delay = max(self.longest_delay, began - due)
            continue_run = getattr(self, f"_{action}")(run)
            self.durations[action].append(time.perf_counter() - began)
            continue_run()

    def _claim(self, _: Any) -> Any:
        began = time.thread_time()
        claim = claim_next(
            self.db,
            worker=f"simulated:1:{threading.get_ident()}",
            device_class="cpu",
            device="cpu",
            lease_seconds=600,
            memory_bytes=8 << 30,
        )
        assert claim is not None, "the queue is empty"
        self.claim_cpu_seconds.append(time.thread_time() - began)
        return partial(self.start_run, (claim.run_id, claim.fence), self.run_seconds)

    def _heartbeat(self, run: tuple[str, int, float]) -> Any:
        run_id, fence, ends = run
        heartbeat(self.db, run_id, fence, 600, (1.0, 2.0, "epochs"), 0.01)
        left = ends - time.perf_counter()
        if left <= 0:
            return partial(self.schedule, 0.0, "finish", run)
        return partial(self.schedule, min(left, HEARTBEAT_SECONDS), "heartbeat", run)

    def _finish(self, run: tuple[str, int, float]) -> Any:
        with self.db.write() as session:
            assert finish_run(session, run[0], run[1], [{"outcome": "trained"}], {})
        return partial(self.schedule, 0.0, "claim")


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
                "spec": {},
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
