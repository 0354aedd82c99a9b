"""A soak: random faults on real workers, a real broker and a real database, then the invariants."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from sqlmodel import col, select

from ops.broker import Broker
from runtime.fault_points import FOLDER_VARIABLE, PLACES
from runtime.settings import Settings
from schemas.status import RunStatus
from storage.database.engine import Database, DatabaseUnavailable
from storage.database.tables import RunRow
from storage.delivery.wake_ups import BrokerUnavailable, socket_path
from storage.errors import InvalidTransition
from storage.experiments.cancel import cancel_experiment
from storage.files.artifacts import list_artifacts
from storage.files.blobs import BlobStore
from tests.faults.invariants import Findings, Reference, examine
from tests.workers.worker_harness import ROOT, WorkerHarness

LEASE_SECONDS = 5.0
SPECS = [
    {
        "kind": "train",
        "epochs": epochs,
        "batch_size": 64,
        "data": {"name": "synthetic", "train_size": 1024, "test_size": 64},
        "model": {"name": "relu_net", "width": width},
    }
    for epochs, width in ((60, 10), (150, 5))
]
SEEDS = [(0,), (1, 2)]
UNFINISHED = 6
"""Number of queued and running runs that the soak maintains"""
SETTLE_SECONDS = 240.0
START_SECONDS = 240.0
"""Limit for the first run to start: workers import torch first."""


class Soak:
    """Runs workers and injects random faults; `seed` determines the sequence of faults.

    owner, name: of all experiments that it submits.
    """

    def __init__(
        self,
        settings: Settings,
        seed: int,
        num_workers: int = 2,
        *,
        owner: str = "",
        name: str | None = None,
    ) -> None:
        self.seed, self._owner, self._name = seed, owner, name
        self.before_settling: Callable[[], object] = lambda: None
        self.harness = WorkerHarness(
            settings,
            Database(settings.resolved_database_url),
            BlobStore(settings.resolved_blob_dir),
        )
        self.rng = random.Random(seed)
        self.broker = Broker(settings)
        self.fault_folder = settings.home / "fault_points"
        self.fault_folder.mkdir()
        self.accepted: list[str] = []
        self.injected: Counter[str] = Counter()
        self.workers: list[subprocess.Popen[bytes] | None] = [None] * num_workers
        self._start_at = [0.0] * num_workers
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._threads: list[threading.Thread] = []
        self.faults: dict[str, tuple[int, Callable[[], bool]]] = {
            "child killed": (6, self._kill_child),
            "killed at a fault point": (8, self._kill_at_fault_point),
            "child frozen past its lease": (2, self._freeze_child),
            "worker killed": (1, self._kill_worker),
            "worker drained": (1, self._drain_worker),
            "broker killed": (1, self._kill_broker),
            "broker emptied": (2, self._empty_broker),
            "broker frozen": (1, self._freeze_broker),
            "50 wake-ups": (2, self._send_many_wake_ups),
            "database locked": (2, self._lock_database),
            "cancelled": (2, self._cancel),
            "checkpoint damaged": (4, self._damage_checkpoint),
        }

    def run(self, seconds: float) -> None:
        """Inject faults for this long after the first run started, then wait until all runs end."""
        self.broker.start()
        deadline = time.monotonic() + START_SECONDS
        next_fault_at = 0.0
        while time.monotonic() < deadline:
            self._supervise()
            with suppress(DatabaseUnavailable):
                self._submit()
                if next_fault_at == 0.0 and self._running():
                    next_fault_at = time.monotonic()
                    deadline = next_fault_at + seconds
                if 0.0 < next_fault_at <= time.monotonic():
                    self._inject()
                    next_fault_at = time.monotonic() + self.rng.uniform(0.2, 1.2)
            time.sleep(0.05)
        self._settle()

    def close(self) -> None:
        for worker in self.workers:
            if worker is not None and worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()
        self.broker.stop()
        self.harness.db.dispose()

    def examine(self, reference: Reference) -> Findings:
        return examine(self.harness.db, self.harness.blobs, self.accepted, reference)

    @property
    def num_faults(self) -> int:
        return sum(self.injected.values())

    def statuses(self) -> Counter[str]:
        with self.harness.db.read() as session:
            return Counter(row.status.value for row in session.exec(select(RunRow)))

    def _inject(self) -> None:
        names = list(self.faults)
        name = self.rng.choices(names, [self.faults[one][0] for one in names])[0]
        if self.faults[name][1]():
            self.injected[name] += 1

    def _submit(self) -> None:
        with self.harness.db.read() as session:
            unfinished = session.exec(
                select(RunRow.id).where(
                    col(RunRow.owner) == self._owner,
                    col(RunRow.status).in_([RunStatus.QUEUED, RunStatus.RUNNING]),
                )
            ).all()
        if len(unfinished) < UNFINISHED:
            spec, seeds = self.rng.choice(SPECS), self.rng.choice(SEEDS)
            experiment_id, _ = self.harness.submit(
                spec, seeds, wake=False, owner=self._owner, name=self._name
            )
            self.accepted.append(experiment_id)
            if self.rng.random() < 0.7:
                with suppress(BrokerUnavailable):
                    self.harness.send_wake_up()

    def _supervise(self) -> None:
        """Restart dead workers and the broker, and perform what is due."""
        now = time.monotonic()
        for index, worker in enumerate(self.workers):
            if (worker is None or worker.poll() is not None) and now >= self._start_at[index]:
                self.workers[index] = self._start_worker()
        due = [entry for entry in self._later if entry[0] <= now]
        self._later = [entry for entry in self._later if entry[0] > now]
        for _, action in due:
            action()

    def _start_worker(self) -> subprocess.Popen[bytes]:
        settings = self.harness.settings
        values = {
            f"RICHREGIME_{name.upper()}": str(getattr(settings, name))
            for name in settings.model_fields_set
        }
        with (settings.home / "worker.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "workers.entry", "--device", "cpu", "--slots", "1"],
                cwd=ROOT,
                env={
                    **os.environ,
                    **values,
                    FOLDER_VARIABLE: str(self.fault_folder),
                    "OMP_NUM_THREADS": "1",
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _settle(self) -> None:
        """Inject nothing more and wait until all experiments have ended."""
        self.before_settling()
        for thread in self._threads:
            thread.join()
        for file in self.fault_folder.iterdir():
            file.unlink(missing_ok=True)
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            self._supervise()
            if not self._later and self.is_quiet():
                return
            time.sleep(0.2)

    def is_quiet(self) -> bool:
        """Whether every accepted experiment has ended and has its summary."""
        for experiment_id in self.accepted:
            row = self.harness.experiment(experiment_id)
            if not row.status.is_terminal or row.summary is None:
                return False
        return True

    def _running(self) -> list[RunRow]:
        with self.harness.db.read() as session:
            query = select(RunRow).where(RunRow.status == RunStatus.RUNNING).order_by(RunRow.id)
            return list(session.exec(query))

    def _random_child(self) -> int | None:
        runs = self._running()
        worker = self.rng.choice(runs).worker if runs else None
        return int(worker.rpartition(":")[2]) if worker else None

    def _after(self, seconds: float, action: Callable[[], object]) -> None:
        self._later.append((time.monotonic() + seconds, action))

    def _kill_child(self) -> bool:
        return _send_signal(self._random_child(), signal.SIGKILL)

    def _kill_at_fault_point(self) -> bool:
        if not self._running():
            return False
        (self.fault_folder / self.rng.choice(PLACES)).write_text("kill")
        return True

    def _freeze_child(self) -> bool:
        child = self._random_child()
        self._after(LEASE_SECONDS + 1, partial(_send_signal, child, signal.SIGCONT))
        return _send_signal(child, signal.SIGSTOP)

    def _random_worker(self) -> int:
        return self.rng.randrange(len(self.workers))

    def _kill_worker(self) -> bool:
        if not self._running():
            return False
        index = self._random_worker()
        worker = self.workers[index]
        self._start_at[index] = time.monotonic() + self.rng.uniform(0, 2)
        return (
            worker is not None
            and worker.poll() is None
            and _send_signal(worker.pid, signal.SIGKILL)
        )

    def _drain_worker(self) -> bool:
        if not self._running():
            return False
        worker = self.workers[self._random_worker()]
        return (
            worker is not None
            and worker.poll() is None
            and _send_signal(worker.pid, signal.SIGTERM)
        )

    def _kill_broker(self) -> bool:
        self.broker.process.kill()
        self.broker.process.wait()
        if self.rng.random() < 0.5:
            for path in sorted((self.harness.settings.home / "broker" / "appendonlydir").glob("*")):
                path.unlink()
        self._after(self.rng.uniform(0, 1), self.broker.start)
        return True

    def _empty_broker(self) -> bool:
        try:
            with Redis(
                unix_socket_path=socket_path(self.harness.settings), socket_timeout=1
            ) as client:
                client.flushall()
        except (RedisError, OSError):
            return False
        return True

    def _freeze_broker(self) -> bool:
        pid = self.broker.process.pid
        self._after(self.rng.uniform(1, 3), partial(_send_signal, pid, signal.SIGCONT))
        return _send_signal(pid, signal.SIGSTOP)

    def _send_many_wake_ups(self) -> bool:
        with suppress(BrokerUnavailable):
            for _ in range(50):
                self.harness.send_wake_up()
        return True

    def _lock_database(self) -> bool:
        seconds = self.rng.uniform(0.5, 3)
        path = self.harness.settings.resolved_database_url.removeprefix("sqlite:///")

        def hold() -> None:
            connection = sqlite3.connect(path, timeout=15, isolation_level=None)
            with suppress(sqlite3.OperationalError):
                connection.execute("BEGIN IMMEDIATE")
                time.sleep(seconds)
                connection.execute("ROLLBACK")
            connection.close()

        self._threads.append(threading.Thread(target=hold))
        self._threads[-1].start()
        return True

    def _cancel(self) -> bool:
        if not self.accepted:
            return False
        with suppress(InvalidTransition), self.harness.db.write() as session:
            cancel_experiment(session, self.rng.choice(self.accepted[-UNFINISHED:]))
            return True
        return False

    def _damage_checkpoint(self) -> bool:
        runs = self._running()
        if not runs:
            return False
        with self.harness.db.read() as session:
            rows = list_artifacts(session, self.rng.choice(runs).id, "resume")
        if not rows:
            return False
        return (
            _damage_file(self.harness.blobs.path(rows[-1].sha256), self.rng) and self._kill_child()
        )


def _damage_file(path: Path, rng: random.Random) -> bool:
    try:
        data = bytearray(path.read_bytes())
        if rng.random() < 0.5:
            del data[len(data) // 2 :]
        else:
            data[rng.randrange(len(data))] ^= 1
        path.write_bytes(data)
    except (FileNotFoundError, ValueError):
        return False
    return True


def _send_signal(pid: int | None, number: int) -> bool:
    try:
        os.kill(pid or 0, number) if pid else None
    except ProcessLookupError:
        return False
    return pid is not None


def soak_settings(home: Path, **more: Any) -> Settings:
    """A short lease, frequent saves, and so many attempts that the faults alone fail no run."""
    return Settings(
        home=home,
        checkpoint_seconds=0.05,
        lease_seconds=LEASE_SECONDS,
        heartbeat_seconds=0.5,
        reconcile_seconds=0.5,
        wake_after_seconds=1.0,
        max_attempts=100,
        **more,
    )
