"""A database, a broker and real worker processes, without the API."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlmodel import select

from engine.spec import sha256_of
from engine.sweep import expand
from runtime.settings import Settings
from schemas.submission import Submission
from storage.access.ownership import Viewer
from storage.database.engine import Database
from storage.database.tables import ExperimentRow, RunRow
from storage.delivery.wake_ups import WakeUps, make_celery
from storage.experiments.create import PlannedPoint, PlannedRun, create_experiment
from storage.files.artifacts import list_artifacts
from storage.files.blobs import BlobStore
from storage.results.events import list_events
from storage.results.metrics import MetricPoint, read_metrics
from storage.runs.placement import NO_NEEDS, Needs, format_labels
from storage.runs.workers import count_idle
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@dataclass
class WorkerHarness:
    """Submits runs, starts workers, and reads what they stored."""

    settings: Settings
    db: Database
    blobs: BlobStore
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def submit(
        self,
        spec: dict[str, Any],
        seeds: tuple[int, ...] = (0,),
        *,
        wake: bool = True,
        owner: str = "",
        **more: Any,
    ) -> tuple[str, str]:
        """Create an experiment of one run without reuse; returns (experiment id, run id)."""
        submission = Submission(spec=spec, seeds=list(seeds), reuse=False, **more)
        needs = Needs(requires=format_labels(submission.execution.requires))
        point = expand(spec, {})[0]
        expanded = point.spec.model_dump(mode="json")
        with self.db.for_viewer(Viewer(owner)).write() as session:
            experiment_id = create_experiment(
                session,
                submission=submission,
                spec=expanded,
                digest=sha256_of(expanded),
                points=[PlannedPoint(0, {}, expanded, point.spec.digest())],
                runs=[PlannedRun(0, seeds, needs)],
            ).id
        run = self.runs(experiment_id)[0]
        if wake:
            self.send_wake_up(needs)
        return experiment_id, run.id

    def send_wake_up(self, needs: Needs = NO_NEEDS) -> None:
        with self.db.read() as session:
            idle = count_idle(session)
        WakeUps(make_celery(self.settings)).send([needs], idle)

    def start_worker(self, slots: int = 1, **more: str) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it listens. more: further environment variables."""
        names = ("home", "broker_url", "checkpoint_seconds", "lease_seconds", "wake_after_seconds")
        values = {f"RICHREGIME_{name.upper()}": str(getattr(self.settings, name)) for name in names}
        log = (self.settings.home / "worker.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.entry", "--device", "cpu", "--slots", str(slots)],
            cwd=ROOT,
            env={
                **os.environ,
                **values,
                "OMP_NUM_THREADS": "1",
                **more,
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.processes.append(process)
        wait_until(lambda: process.poll() is not None or self._listens(), 120)
        assert process.poll() is None, self.log
        return process

    def _listens(self) -> bool:
        return "listening for cpu runs" in self.log

    @property
    def log(self) -> str:
        return (self.settings.home / "worker.log").read_text()

    def run(self, run_id: str) -> RunRow:
        with self.db.read() as session:
            return session.get_one(RunRow, run_id)

    def runs(self, experiment_id: str) -> list[RunRow]:
        with self.db.read() as session:
            return list(session.exec(select(RunRow).where(RunRow.experiment_id == experiment_id)))

    def experiment(self, experiment_id: str) -> ExperimentRow:
        with self.db.read() as session:
            return session.get_one(ExperimentRow, experiment_id)

    def wait(self, run_id: str, status: str, seconds: float = 90.0) -> RunRow:
        """The row once it has this status. Fails at once if the run has ended with another one."""

        def reached() -> RunRow | None:
            row = self.run(run_id)
            assert row.status == status or not row.status.is_terminal, (row.error_detail, self.log)
            return row if row.status == status else None

        found: RunRow = wait_until(reached, seconds)
        return found

    def wait_for_checkpoint(self, run_id: str) -> None:
        """Wait until the run has saved its resume state once. Fails if the run has ended."""

        def saved() -> bool:
            assert not self.run(run_id).status.is_terminal, "the run ended before it saved"
            with self.db.read() as session:
                return bool(list_artifacts(session, run_id, "resume"))

        wait_until(saved, 180)

    def child_of(self, run_id: str) -> int:
        """The id of the process that executes the run."""
        worker = self.run(run_id).worker
        assert worker is not None
        return int(worker.rpartition(":")[2])

    def events(self, experiment_id: str) -> list[str]:
        with self.db.read() as session:
            return [event.name for event in list_events(session, experiment_id, 0, 10_000)]

    def metrics(self, run_id: str) -> list[MetricPoint]:
        with self.db.read() as session:
            return read_metrics(session, run_id=run_id)

    def thetas(self, run_id: str) -> dict[tuple[str, int | None], str]:
        """sha256 of the stored weights by name and seed."""
        with self.db.read() as session:
            return {
                (row.name, row.seed): row.sha256
                for row in list_artifacts(session, run_id, "checkpoint")
            }

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.db.dispose()


@contextmanager
def harness_factory(
    tmp_path_factory: pytest.TempPathFactory, broker_server: str, sqlite_template: Path
) -> Iterator[Callable[..., WorkerHarness]]:
    """A function that makes harnesses, each with its own home; the block ends their processes."""
    harnesses: list[WorkerHarness] = []

    def make(**changes: Any) -> WorkerHarness:
        with redis.Redis(unix_socket_path=broker_server) as client:
            client.flushall()
        home = tmp_path_factory.mktemp("home")
        (home / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
        options = {
            "broker_url": f"redis+socket://{broker_server}",
            "checkpoint_seconds": 0.1,
            "wake_after_seconds": 2.0,
            **changes,
        }
        settings = Settings(home=home, **options)
        harness = WorkerHarness(
            settings,
            Database(settings.resolved_database_url),
            BlobStore(settings.resolved_blob_dir),
        )
        (home / "worker.log").touch()
        harnesses.append(harness)
        return harness

    yield make
    for harness in harnesses:
        harness.close()
