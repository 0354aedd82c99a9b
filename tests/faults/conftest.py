"""A worker without its process: claims and executes in the test, so that it may die anywhere in microseconds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runtime import fault_points
from runtime.settings import Settings
from storage.database.engine import Database
from storage.database.tables import ArtifactRow
from storage.errors import InvalidTransition
from storage.experiments.cancel import cancel_experiment
from storage.files.artifacts import list_artifacts
from storage.files.blobs import BlobStore
from storage.runs.claim import Claim, claim_next
from storage.runs.lease_expiry import expire_worker
from storage.runs.reconcile import reconcile
from tests.faults.invariants import Findings, Reference, assert_invariants, bits_of
from tests.workers.conftest import Lab, make_lab
from workers import context
from workers.execution import execute_run

__all__ = ["make_lab"]

OWNER = "host:1:2"


class Death(BaseException):
    """The process is gone: nothing of it runs any more."""


@dataclass
class Bench(Lab):
    """A laboratory whose worker lives in this process."""

    accepted: list[str] = field(default_factory=list)

    def submit(
        self, spec: dict[str, Any], seeds: tuple[int, ...] = (0,), **more: Any
    ) -> tuple[str, str]:
        experiment_id, run_id = super().submit(spec, seeds, wake=False, **more)
        self.accepted.append(experiment_id)
        return experiment_id, run_id

    def claim(self, worker: str = OWNER) -> Claim | None:
        return claim_next(
            self.db, worker=worker, device_class="cpu", device="cpu", lease_seconds=30
        )

    def claimed(self, worker: str = OWNER) -> Claim:
        found = self.claim(worker)
        assert found is not None
        return found

    def execute(self, claim: Claim, should_yield: Callable[[], bool] = lambda: False) -> None:
        execute_run(self.db, self.blobs, self.settings, claim, "cpu", should_yield)

    def work(self) -> bool:
        """Claim one run and execute it; whether there was one. A death is noticed, and the run taken back."""
        try:
            claim = self.claim()
            if claim is None:
                return False
            self.execute(claim)
        except Death:
            pass
        finally:
            self.reap()
        return True

    def reap(self) -> None:
        expire_worker(self.db, OWNER, self.settings.max_attempts)

    def resume_states(self, run_id: str) -> list[ArtifactRow]:
        with self.db.read() as session:
            return list_artifacts(session, run_id, "resume")

    def work_until_idle(self) -> None:
        while self.work():
            pass
        self.reconcile()

    def reconcile(self) -> None:
        """One pass of another process, which dies at most once."""
        for _ in range(2):
            try:
                reconcile(self.db, self.blobs, self.settings, lambda runs: None)
            except Death:
                continue
            return

    def cancel(self, experiment_id: str) -> None:
        """As a user does, who may come too late."""
        with suppress(InvalidTransition), self.db.write() as session:
            cancel_experiment(session, experiment_id)

    def reference(self, spec: dict[str, Any], seeds: tuple[int, ...] = (0,)) -> Reference:
        """The bits of a run that nothing disturbs."""
        _, run_id = self.submit(spec, seeds)
        claim = self.claimed()
        assert claim.run_id == run_id
        self.execute(claim)
        return {(claim.digest, seeds): bits_of(self.db, run_id)}

    def assert_invariants(self, reference: Reference | None = None) -> Findings:
        return assert_invariants(self.db, self.blobs, self.accepted, reference)


@pytest.fixture
def bench(
    tmp_path: Path, sqlite_url: str, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    monkeypatch.setattr(context, "SAVE_SHARE", float("inf"))
    made = Bench(make_settings(tmp_path, database_url=sqlite_url), Database(sqlite_url), blobs)
    yield made
    made.db.dispose()


def make_settings(home: Path, **values: Any) -> Settings:
    """Saves at every step, hears at once; one thread."""
    given = {
        "broker_url": None,
        "checkpoint_seconds": 0.0,
        "heartbeat_seconds": 0.1,
        "threads_per_run": 1,
        **values,
    }
    return Settings(home=home, **given)


class Strike:
    """Does something the nth time that a run comes to a fault point, or at the first after it that is not passed by."""

    def __init__(self, at: int, what: Callable[[], None], passes_by: Collection[str] = ()) -> None:
        self.reached: list[str] = []
        self.struck = False
        self._at, self._what, self._passes_by = at, what, passes_by

    def __call__(self, name: str) -> None:
        self.reached.append(name)
        if not self.struck and len(self.reached) >= self._at > 0 and name not in self._passes_by:
            self.struck = True
            self._what()


def die() -> None:
    raise Death


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], None] | None], None]:
    """Sets who hears of the fault points."""

    def set_listener(listener: Callable[[str], None] | None) -> None:
        monkeypatch.setattr(fault_points, "listener", listener)

    return set_listener
