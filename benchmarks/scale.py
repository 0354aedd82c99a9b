"""`python -m benchmarks.scale`: how many workers and waiting runs a database carries.

Simulated workers claim and finish runs and send heartbeats with the service's own statements,
through a few connections, without training. The numbers of workers and of waiting runs grow. Prints
a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url

from benchmarks.machine import describe_machine
from benchmarks.simulated_workers import (
    SimulatedWorkers,
    add_waiting_runs,
    claim_many,
    end_running_runs,
)
from storage.database.engine import Database
from storage.files.blobs import BlobStore
from tests.postgres import new_database, postgres_server

WORKERS = (1, 10, 100, 1_000)
WAITING = (1_000, 10_000, 100_000)
SLOTS = (1, 8)
"""Of a parent; with 1 every run sends a heartbeat of its own"""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One combination of database, number of workers and number of waiting runs."""

    database: str
    workers: int
    slots: int
    """Children of each parent, whose heartbeats are sent together"""
    waiting: int
    claims: int
    claim_ms_p50: float
    claim_ms_p99: float
    claim_cpu_ms: float
    """Median CPU time of the client, for SQLite including the database"""
    heartbeats_ms_p50: float
    """Of a transaction with those of one parent"""
    heartbeats_kept: float
    """Share of the due heartbeats of single runs that were sent within the measurement"""
    passes: int
    """Reconciliations that all parents made"""
    latest_seconds: float
    """Longest wait of an action for a connection"""
    statements_per_second: float
    client_cores: float
    database_cores: float | None
    """None if the database runs in the client's process or on another machine"""


STATEMENTS: Counter[str] = Counter()


@event.listens_for(Engine, "before_cursor_execute")
def _count_statement(*_: Any) -> None:
    STATEMENTS["all"] += 1


def measure(
    name: str,
    db: Database,
    blobs: BlobStore,
    workers: int,
    slots: int,
    waiting: int,
    seconds: float,
    server: int | None,
) -> Measurement:
    held = claim_many(db, workers - 1) if workers > 1 else []
    STATEMENTS.clear()
    cpu, server_cpu = time.process_time(), _cpu_seconds(server)
    began = time.perf_counter()
    simulated = SimulatedWorkers(db, blobs, workers, slots, began + seconds)
    simulated.run(held)
    wall = time.perf_counter() - began
    cpu, server_cpu_end = time.process_time() - cpu, _cpu_seconds(server)
    end_running_runs(db)
    heartbeats, overdue = simulated.heartbeats, simulated.overdue
    claims = simulated.durations["claim"]
    return Measurement(
        database=name,
        workers=workers,
        slots=slots,
        waiting=waiting,
        claims=len(claims),
        claim_ms_p50=_percentile(claims, 0.5) * 1e3,
        claim_ms_p99=_percentile(claims, 0.99) * 1e3,
        claim_cpu_ms=_percentile(simulated.claim_cpu_seconds, 0.5) * 1e3,
        heartbeats_ms_p50=_percentile(simulated.durations["heartbeats"], 0.5) * 1e3,
        heartbeats_kept=heartbeats / (heartbeats + overdue) if heartbeats else 1.0,
        passes=simulated.passes,
        latest_seconds=simulated.longest_delay,
        statements_per_second=STATEMENTS["all"] / wall,
        client_cores=cpu / wall,
        database_cores=None
        if server_cpu is None or server_cpu_end is None
        else (server_cpu_end - server_cpu) / wall,
    )


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def _cpu_seconds(server: int | None) -> float | None:
    """CPU seconds of a server and its children so far."""
    if server is None:
        return None
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the process has ended
        if int(fields[1]) == server or stat.parent.name == str(server):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def open_database(name: str) -> Iterator[tuple[Database, int | None]]:
    """An empty database, and the id of its server's process if this process started it."""
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
    "slots",
    "waiting",
    "claims",
    "claim p50, p99",
    "claim CPU",
    "heartbeats p50",
    "heartbeats kept",
    "passes",
    "latest",
    "statements/s",
    "cores",
)


def show(row: Measurement) -> tuple[str, ...]:
    cores = f"{row.client_cores:.2f}" + (
        "" if row.database_cores is None else f" + {row.database_cores:.2f}"
    )
    return (
        row.database,
        f"{row.workers:,}",
        str(row.slots),
        f"{row.waiting:,}",
        f"{row.claims:,}",
        f"{row.claim_ms_p50:.1f}, {row.claim_ms_p99:.1f} ms",
        f"{row.claim_cpu_ms:.1f} ms",
        f"{row.heartbeats_ms_p50:.1f} ms",
        f"{100 * row.heartbeats_kept:.0f} %",
        str(row.passes),
        f"{row.latest_seconds:.1f} s",
        f"{row.statements_per_second:,.0f}",
        cores,
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument(
        "databases", nargs="*", default=["sqlite", "postgres"], help="sqlite, postgres"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="duration of each measurement")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=WORKERS, help="numbers of workers"
    )
    parser.add_argument(
        "--slots", type=int, nargs="+", default=SLOTS, help="children of each parent"
    )
    parser.add_argument(
        "--waiting", type=int, nargs="+", default=WAITING, help="numbers of waiting runs"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scale.json"))
    chosen = parser.parse_args(arguments)
    machine = describe_machine()
    rows: list[Measurement] = []
    print(" | ".join(HEADER), flush=True)
    for name in chosen.databases:
        with (
            open_database(name) as (db, server),
            tempfile.TemporaryDirectory(prefix="richregime-scale-") as folder,
        ):
            blobs = BlobStore(Path(folder))
            num_waiting = 0
            for waiting in sorted(chosen.waiting):
                for workers, slots in product(chosen.workers, chosen.slots):
                    wanted = waiting + workers
                    add_waiting_runs(db, max(0, wanted - num_waiting))
                    rows.append(
                        measure(name, db, blobs, workers, slots, waiting, chosen.seconds, server)
                    )
                    num_waiting = max(num_waiting, wanted) - workers - rows[-1].claims
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
