"""`python -m benchmarks.scale`: how many workers and waiting runs a database carries, without any training.

Simulated workers claim, beat every second and finish by the service's own statements, through a few connections; their
number and that of the waiting runs grow. Prints a table for each database and writes JSON.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, insert, select, text, update
from sqlalchemy.engine import make_url

from benchmarks.machine import describe_machine
from runtime.settings import Settings
from schemas.status import RunStatus
from storage.database.engine import Database, database_now
from storage.database.ids import new_id
from storage.database.tables import ExperimentRow, PointRow, RunRow
from storage.runs.claim import claim_next
from storage.runs.claim_order import RUN, claim_group_of, rank_of
from storage.runs.placement import Needs
from storage.runs.transitions import finish_run, heartbeat
from tests.postgres import new_database, postgres_server

WORKERS = (1, 10, 100, 1_000)
WAITING = (1_000, 10_000, 100_000)
OWNERS = 5
RUNS_OF_EXPERIMENT = 1_000
RUNS_PER_SECOND = 20
"""Claims, and ends, of all workers together: a run takes longer the more workers there are"""
CONNECTIONS = 8
HEARTBEAT_SECONDS = float(Settings.model_fields["heartbeat_seconds"].default)
NEEDS = Needs("any", 512 << 20)


@dataclass(frozen=True, slots=True)
class Row:
    """What one number of workers met at one number of waiting runs."""

    database: str
    workers: int
    waiting: int
    claims: int
    claim_ms_p50: float
    claim_ms_p99: float
    claim_cpu_ms: float
    """Of the client alone, in which SQLite computes too; whatever else the machine does. Median"""
    beat_ms_p50: float
    beats_kept: float
    """Share of the beats due that were sent in time to be counted"""
    latest_seconds: float
    """That a beat, claim or end had to wait for a connection, at worst"""
    statements_per_second: float
    client_cores: float
    database_cores: float | None
    """Null where the database lives in the clients' process, or elsewhere"""


@dataclass
class Company:
    """Simulated workers; each has one action due at a time, and whichever thread is free does what is due first."""

    db: Database
    workers: int
    until: float
    took: dict[str, list[float]] = field(
        default_factory=lambda: {"claim": [], "beat": [], "finish": []}
    )
    computed: list[float] = field(default_factory=list)
    """CPU seconds of each claim"""
    late: float = 0.0
    due: list[tuple[float, int, str, Any]] = field(default_factory=list)
    _lock: threading.Condition = field(default_factory=threading.Condition)
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def run_seconds(self) -> float:
        return self.workers / RUNS_PER_SECOND

    def plan(self, delay: float, what: str, run: Any = None) -> None:
        with self._lock:
            heapq.heappush(self.due, (time.perf_counter() + delay, next(self._numbers), what, run))
            self._lock.notify()

    def start(self, held: list[tuple[str, int]]) -> None:
        for index, run in enumerate(held):
            self.hold(run, self.run_seconds * index / len(held))
        for _ in range(self.workers - len(held)):
            self.plan(0.0, "claim")
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for done in [pool.submit(self._work) for _ in range(CONNECTIONS)]:
                done.result()

    def hold(self, run: tuple[str, int], seconds: float) -> None:
        """Beat until the run is over."""
        ends = time.perf_counter() + seconds
        self.plan(
            min(seconds, HEARTBEAT_SECONDS * (0.618 * next(self._numbers) % 1)),
            "beat",
            (*run, ends),
        )

    def _next(self) -> tuple[float, str, Any] | None:
        with self._lock:
            while time.perf_counter() < self.until:
                wait = self.due[0][0] - time.perf_counter() if self.due else 0.05
                if self.due and wait <= 0:
                    at, _, what, run = heapq.heappop(self.due)
                    return at, what, run
                self._lock.wait(min(max(wait, 0.0005), 0.05))
        return None

    def _work(self) -> None:
        while (job := self._next()) is not None:
            due, what, run = job
            began = time.perf_counter()
            self.late = max(self.late, began - due)
            then = getattr(self, f"_{what}")(run)
            self.took[what].append(time.perf_counter() - began)
            then()

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
        self.computed.append(time.thread_time() - began)
        return partial(self.hold, (claim.run_id, claim.fence), self.run_seconds)

    def _beat(self, run: tuple[str, int, float]) -> Any:
        run_id, fence, ends = run
        heartbeat(self.db, run_id, fence, 600, (1.0, 2.0, "epochs"), 0.01)
        left = ends - time.perf_counter()
        if left <= 0:
            return partial(self.plan, 0.0, "finish", run)
        return partial(self.plan, min(left, HEARTBEAT_SECONDS), "beat", run)

    def _finish(self, run: tuple[str, int, float]) -> Any:
        with self.db.write() as session:
            assert finish_run(session, run[0], run[1], [{"outcome": "trained"}], {})
        return partial(self.plan, 0.0, "claim")


def fill(db: Database, number: int) -> None:
    """So many more waiting runs, of several owners by turns."""
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
        with (
            db.write() as session
        ):  # as Postgres does by itself within a minute of so many new rows
            session.execute(text("ANALYZE"))


def hold_many(db: Database, number: int) -> list[tuple[str, int]]:
    """Runs that are under way from the start, so that a company of many need not begin with as many claims."""
    with db.write() as session:
        waiting = select(RUN.c.id).where(RUN.c.status == RunStatus.QUEUED).order_by(RUN.c.id.desc())
        ids = list(session.scalars(waiting.limit(number)))
        now = database_now(session)
        values = {"status": RunStatus.RUNNING, "fence": 1, "claimed_at": now, "started_at": now}
        values |= {"lease_until": now + timedelta(hours=1), "owner": "simulated:1:1"}
        session.execute(update(RUN).where(RUN.c.id.in_(ids)).values(**values))
    return [(run_id, 1) for run_id in ids]


def end_all(db: Database) -> None:
    """What is under way is over, for the next company."""
    with db.write() as session:
        running = update(RUN).where(RUN.c.status == RunStatus.RUNNING)
        session.execute(running.values(status=RunStatus.SUCCEEDED, lease_until=None))


STATEMENTS: Counter[str] = Counter()


@event.listens_for(Engine, "before_cursor_execute")
def _count_statement(*_: Any) -> None:
    STATEMENTS["all"] += 1


def measure(
    name: str, db: Database, workers: int, waiting: int, seconds: float, server: int | None
) -> Row:
    held = hold_many(db, workers - 1) if workers > 1 else []
    STATEMENTS.clear()
    cpu, server_cpu = time.process_time(), _cpu_of(server)
    began = time.perf_counter()
    company = Company(db, workers, began + seconds)
    company.start(held)
    wall = time.perf_counter() - began
    cpu, spent = time.process_time() - cpu, _cpu_of(server)
    end_all(db)
    beats = len(company.took["beat"])
    overdue = sum(what == "beat" and at < company.until for at, _, what, _ in company.due)
    claims = company.took["claim"]
    return Row(
        database=name,
        workers=workers,
        waiting=waiting,
        claims=len(claims),
        claim_ms_p50=_percentile(claims, 0.5) * 1e3,
        claim_ms_p99=_percentile(claims, 0.99) * 1e3,
        claim_cpu_ms=_percentile(company.computed, 0.5) * 1e3,
        beat_ms_p50=_percentile(company.took["beat"], 0.5) * 1e3,
        beats_kept=beats / (beats + overdue) if beats else 1.0,
        latest_seconds=company.late,
        statements_per_second=STATEMENTS["all"] / wall,
        client_cores=cpu / wall,
        database_cores=None if server_cpu is None or spent is None else (spent - server_cpu) / wall,
    )


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def _cpu_of(server: int | None) -> float | None:
    """Seconds that a server and its children have computed."""
    if server is None:
        return None
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(fields[1]) == server or stat.parent.name == str(server):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def open_database(name: str) -> Iterator[tuple[Database, int | None]]:
    """An empty one, and the process of its server where that is ours."""
    if name == "sqlite":
        with tempfile.TemporaryDirectory(prefix="richregime-scale-") as folder:
            db = Database(f"sqlite:///{folder}/richregime.sqlite3")
            db.upgrade()
            yield db, None
            db.dispose()
        return
    with postgres_server() as server, new_database(server) as url:
        db = Database(url)
        host = make_url(url).query.get("host")
        pid_file = Path(str(host)) / "postmaster.pid"
        yield db, int(pid_file.read_text().split()[0]) if pid_file.exists() else None
        db.dispose()


HEADER = (
    "database",
    "workers",
    "waiting",
    "claims",
    "claim p50, p99",
    "its CPU",
    "beat p50",
    "beats kept",
    "latest",
    "statements/s",
    "cores",
)


def show(row: Row) -> tuple[str, ...]:
    cores = f"{row.client_cores:.2f}" + (
        "" if row.database_cores is None else f" + {row.database_cores:.2f}"
    )
    return (
        row.database,
        f"{row.workers:,}",
        f"{row.waiting:,}",
        f"{row.claims:,}",
        f"{row.claim_ms_p50:.1f}, {row.claim_ms_p99:.1f} ms",
        f"{row.claim_cpu_ms:.1f} ms",
        f"{row.beat_ms_p50:.1f} ms",
        f"{100 * row.beats_kept:.0f} %",
        f"{row.latest_seconds:.1f} s",
        f"{row.statements_per_second:,.0f}",
        cores,
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument(
        "databases", nargs="*", default=["sqlite", "postgres"], help="sqlite, postgres"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each row")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--waiting", type=int, nargs="+", default=WAITING)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scale.json"))
    chosen = parser.parse_args(arguments)
    machine = describe_machine()
    rows: list[Row] = []
    print(" | ".join(HEADER), flush=True)
    for name in chosen.databases:
        with open_database(name) as (db, server):
            there = 0
            for waiting in sorted(chosen.waiting):
                for workers in chosen.workers:
                    wanted = waiting + workers
                    fill(db, max(0, wanted - there))
                    rows.append(measure(name, db, workers, waiting, chosen.seconds, server))
                    there = max(there, wanted) - workers - rows[-1].claims
                    print(" | ".join(show(rows[-1])), flush=True)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": machine,
        "seconds": chosen.seconds,
        "rows": [asdict(row) for row in rows],
    }
    chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
