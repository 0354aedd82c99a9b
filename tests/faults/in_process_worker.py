"""A worker in the test's process: it claims and executes runs, and may die at any fault point."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.settings import Settings
from storage.database.tables import ArtifactRow
from storage.errors import InvalidTransition
from storage.experiments.cancel import cancel_experiment
from storage.files.artifacts import list_artifacts
from storage.runs.claim import Claim, claim_next
from storage.runs.clock_watch import ClockWatch
from storage.runs.lease_expiry import expire_worker
from storage.runs.reconcile import reconcile
from tests.faults.fault_injection import WorkerKilled
from tests.faults.invariants import Findings, Reference, assert_invariants, bits_of
from tests.workers.worker_harness import WorkerHarness
from workers.execution import execute_run

SPEC = {
    "kind": "train",
    "epochs": 2,
    "batch_size": 64,
    "data": {"name": "synthetic", "train_size": 128, "test_size": 64},
    "model": {"name": "relu_net", "width": 5},
}
SEEDS = (0, 1)
WORKER_NAME = "host:1:2"


@dataclass
class InProcessWorker(WorkerHarness):
    """A harness whose worker runs in this process."""

    accepted: list[str] = field(default_factory=list)
    clock: ClockWatch = field(default_factory=lambda: ClockWatch(30.0, 2.0))

    def submit(
        self, spec: dict[str, Any], seeds: tuple[int, ...] = (0,), **more: Any
    ) -> tuple[str, str]:
        experiment_id, run_id = super().submit(spec, seeds, wake=False, **more)
        self.accepted.append(experiment_id)
        return experiment_id, run_id

    def claim(self, worker: str = WORKER_NAME) -> Claim | None:
        return claim_next(
            self.db, worker=worker, device_class="cpu", device="cpu", lease_seconds=30
        )

    def require_claim(self, worker: str = WORKER_NAME) -> Claim:
        found = self.claim(worker)
        assert found is not None
        return found

    def execute(self, claim: Claim, should_yield: Callable[[], bool] = lambda: False) -> None:
        execute_run(self.db, self.blobs, self.settings, claim, "cpu", should_yield)

    def work(self) -> bool:
        """Claim and execute one run; returns whether there was one.

        If the worker dies its run is queued again.
        """
        try:
            claim = self.claim()
            if claim is None:
                return False
            self.execute(claim)
        except WorkerKilled:
            pass
        finally:
            self.expire_own_runs()
        return True

    def expire_own_runs(self) -> None:
        expire_worker(self.db, WORKER_NAME, self.settings.max_attempts)

    def resume_states(self, run_id: str) -> list[ArtifactRow]:
        with self.db.read() as session:
            return list_artifacts(session, run_id, "resume")

    def work_until_idle(self) -> None:
        while self.work():
            pass
        self.reconcile()

    def reconcile(self) -> None:
        """Reconcile once as another process does, which may die once at a fault point."""
        for _ in range(2):
            try:
                reconcile(self.db, self.blobs, self.settings, lambda runs: None, self.clock)
            except WorkerKilled:
                continue
            return

    def cancel(self, experiment_id: str) -> None:
        """Cancel as a user does; an experiment that has ended stays as it is."""
        with suppress(InvalidTransition), self.db.write() as session:
            cancel_experiment(session, experiment_id)

    def reference(self, spec: dict[str, Any], seeds: tuple[int, ...] = (0,)) -> Reference:
        """The bits of an undisturbed run."""
        _, run_id = self.submit(spec, seeds)
        claim = self.require_claim()
        assert claim.run_id == run_id
        self.execute(claim)
        return {(claim.digest, seeds): bits_of(self.db, run_id)}

    def assert_invariants(self, reference: Reference | None = None) -> Findings:
        return assert_invariants(self.db, self.blobs, self.accepted, reference)


def make_settings(home: Path, **values: Any) -> Settings:
    """Saves at every step, frequent heartbeats."""
    given = {
        "broker_url": None,
        "checkpoint_seconds": 0.0,
        "heartbeat_seconds": 0.1,
        **values,
    }
    return Settings(home=home, **given)
