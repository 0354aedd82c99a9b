"""The store on both databases, with short forms of the calls that most tests need."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engine.spec import sha256_of
from engine.sweep import expand
from schemas.status import FailureReason
from schemas.submission import Submission
from storage.access.ownership import Viewer
from storage.database.engine import Database
from storage.database.tables import ExperimentRow, RunRow
from storage.experiments.create import PlannedPoint, PlannedRun, create_experiment
from storage.files.blobs import BlobStore, StoredBlob
from storage.runs.claim import Claim, claim_next
from storage.runs.placement import Needs
from storage.runs.transitions import cancel_run, fail_run, finish_run, release_run
from storage.runs.workers import register_worker
from tests.postgres import new_database

SPEC: dict[str, Any] = {"kind": "train"}
TABLES = (
    "experiment",
    "worker",
    "idempotency",
    "dataset",
    "weights",
    "api_key",
    "cordon",
    "due_pass",
)
"""The rows of the other tables are deleted with these."""


@dataclass(frozen=True)
class Store:
    """A database with short forms of storage calls."""

    db: Database

    def submit(
        self,
        seeds: Sequence[tuple[int, ...]] = ((0,),),
        *,
        priority: int = 0,
        device_class: str = "any",
        needs: Needs | None = None,
        owner: str = "",
        sweep: dict[str, list[Any]] | None = None,
        name: str | None = None,
    ) -> tuple[str, list[str]]:
        """Create an experiment with a run for each point and tuple of seeds.

        Returns (experiment id, run ids).
        """
        expanded = expand(SPEC, sweep or {})
        specs = [point.spec.model_dump(mode="json") for point in expanded]
        submission = Submission(
            spec=SPEC,
            sweep=sweep or {},
            seeds=[seed for group in seeds for seed in group],
            priority=priority,
            name=name,
        )
        with self.db.for_viewer(Viewer(owner)).write() as session:
            experiment_id = create_experiment(
                session,
                submission=submission,
                spec=specs[0],
                digest=sha256_of(specs),
                points=[
                    PlannedPoint(index, point.values, spec, point.spec.digest())
                    for index, (point, spec) in enumerate(zip(expanded, specs, strict=True))
                ],
                runs=[
                    PlannedRun(index, group, needs or Needs(device_class))
                    for index in range(len(specs))
                    for group in seeds
                ],
            ).id
        with self.db.read() as session:
            query = text("SELECT id FROM run WHERE experiment_id = :id ORDER BY id")
            return experiment_id, list(session.scalars(query, {"id": experiment_id}))

    def try_claim(
        self, *, worker: str = "host:1:2", device_class: str = "cpu", **more: Any
    ) -> Claim | None:
        """Claim the first queued run that fits. more: further arguments of `claim_next`."""
        options = {"lease_seconds": 60.0, **more}
        return claim_next(
            self.db, worker=worker, device_class=device_class, device=device_class, **options
        )

    def claim(self, **options: Any) -> Claim:
        """As `try_claim`; there must be such a run."""
        claimed = self.try_claim(**options)
        assert claimed is not None
        return claimed

    def start_run(self) -> tuple[str, str, int]:
        """Submit and claim one run; (experiment id, run id, fence)."""
        experiment_id, (run_id,) = self.submit()
        return experiment_id, run_id, self.claim().fence

    def finish(self, run_id: str, fence: int, outcome: str = "trained") -> bool:
        with self.db.write() as session:
            return finish_run(session, run_id, fence, [{"outcome": outcome}], {})

    def fail(self, run_id: str, fence: int) -> bool:
        with self.db.write() as session:
            return fail_run(session, run_id, fence, FailureReason.INTERNAL, "failed by the test")

    def cancel(self, run_id: str, fence: int) -> bool:
        with self.db.write() as session:
            return cancel_run(session, run_id, fence)

    def release(self, run_id: str, fence: int) -> bool:
        with self.db.write() as session:
            return release_run(session, run_id, fence)

    def run(self, run_id: str) -> RunRow:
        with self.db.read() as session:
            return session.get_one(RunRow, run_id)

    def experiment(self, experiment_id: str) -> ExperimentRow:
        with self.db.read() as session:
            return session.get_one(ExperimentRow, experiment_id)

    def end_lease(self, run_id: str) -> None:
        """Let the lease expire, as if the worker had sent no heartbeat."""
        with self.db.write() as session:
            session.get_one(RunRow, run_id).lease_until = session.get_one(RunRow, run_id).created_at


def register(store: Store, host: str = "lab7", pid: int = 100, slots: int = 1) -> str:
    """Of a worker; returns its id."""
    with store.db.write() as session:
        return register_worker(
            session,
            host=host,
            pid=pid,
            device="cpu",
            device_class="cpu",
            slots=slots,
            memory_bytes=0,
            versions={},
        )


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def both_databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Database]:
    """A migrated database, on SQLite and then on Postgres, shared by all tests."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("storage") / "richregime.sqlite3"
        shutil.copyfile(sqlite_template, path)
        db = Database(f"sqlite:///{path}")
        yield db
        db.dispose()
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        db = Database(url)
        yield db
        db.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def fresh_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of the test's own, on SQLite and then on Postgres; not yet migrated on SQLite."""
    if request.param == "sqlite":
        db = Database(f"sqlite:///{tmp_path / 'fresh.sqlite3'}")
        yield db
        db.dispose()
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        db = Database(url)
        yield db
        db.dispose()


@pytest.fixture
def db(both_databases: Database) -> Database:
    """The shared database, emptied."""
    with both_databases.write() as session:
        for table in TABLES:
            session.execute(text(f"DELETE FROM {table}"))
    return both_databases


@pytest.fixture
def store(db: Database) -> Store:
    return Store(db)


@pytest.fixture
def blob(blobs: BlobStore) -> StoredBlob:
    return blobs.put(b"theta")
