"""The life of runs as a state machine: whatever is done in whatever order, the rows agree with a model of a few lines."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from runtime.settings import Settings
from schemas.status import FailureReason
from storage.database.engine import Database
from storage.errors import InvalidTransition
from storage.experiments.cancel import cancel_experiment
from storage.experiments.retry_extend import retry_experiment
from storage.files.artifacts import register_artifact
from storage.files.blobs import BlobStore
from storage.results.metrics import write_metrics
from storage.runs.claim import Claim, claim_next
from storage.runs.lease_expiry import expire_leases, expire_worker
from storage.runs.transitions import cancel_run, fail_run, finish_run, heartbeat, release_run
from tests.postgres import new_database
from tests.workers.conftest import Lab

SPEC = {"kind": "train", "epochs": 1}
OWNERS = ["host:1:2", "host:1:3"]
MAX_ATTEMPTS = 3


class LifeOfRuns(RuleBasedStateMachine):
    """`held` is the model: the fence that may write each run, and nobody else's."""

    claims = Bundle("claims")
    url: str = ""
    template: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        home = Path(tempfile.mkdtemp(prefix="richregime-model-"))
        self.stack.callback(shutil.rmtree, home)
        url = self.url
        if self.template is not None:
            shutil.copyfile(self.template, home / "model.sqlite3")
            url = f"sqlite:///{home / 'model.sqlite3'}"
        else:
            url = self.stack.enter_context(new_database(self.url))
        db = Database(url)
        self.stack.callback(db.dispose)
        self.lab = Lab(Settings(home=home, database_url=url), db, BlobStore(home / "blobs"))
        self.held: dict[str, int] = {}
        self.fences: dict[str, int] = {}
        self.experiments: list[str] = []
        self.ends: dict[str, str] = {}

    def teardown(self) -> None:
        self.stack.close()

    @rule(priority=st.integers(-2, 2))
    def submit(self, priority: int) -> None:
        experiment_id, run_id = self.lab.submit(SPEC, wake=False, priority=priority)
        self.experiments.append(experiment_id)
        self.fences[run_id] = 0

    @rule(target=claims, worker=st.sampled_from(OWNERS), lease=st.sampled_from([60.0, -1.0]))
    def claim(self, worker: str, lease: float) -> Any:
        found = claim_next(
            self.lab.db, worker=worker, device_class="cpu", device="cpu", lease_seconds=lease
        )
        waiting = [run for run in self.fences if run not in self.held and run not in self.ends]
        assert (found is None) == (not waiting)
        if found is not None:
            assert found.run_id in waiting
            assert found.fence > self.fences[found.run_id]
            self.held[found.run_id] = self.fences[found.run_id] = found.fence
        return found

    @rule(claim=claims, move=st.sampled_from(["finish", "fail", "cancel", "release"]))
    def end(self, claim: Claim | None, move: str) -> None:
        if claim is None:
            return
        run_id, fence = claim.run_id, claim.fence
        asked = self.lab.run(run_id).cancel_requested_at is not None
        with self.lab.db.write() as session:
            match move:
                case "finish":
                    moved = finish_run(session, run_id, fence, [{"outcome": "trained"}], {})
                case "fail":
                    moved = fail_run(session, run_id, fence, FailureReason.INTERNAL, "a defect")
                case "cancel":
                    moved = cancel_run(session, run_id, fence)
                case _:
                    moved = release_run(session, run_id, fence)
        assert moved == self._holds(claim)
        if moved:
            del self.held[run_id]
            ended = {"finish": "succeeded", "fail": "failed", "cancel": "cancelled"}.get(move)
            if move == "release" and asked:
                ended = "cancelled"
            if ended is not None:
                self.ends[run_id] = ended

    @rule(claim=claims)
    def write(self, claim: Claim | None) -> None:
        """A number and a file, under a fence that may be old."""
        if claim is None:
            return
        alive = heartbeat(self.lab.db, claim.run_id, claim.fence, 60.0).alive
        with self.lab.db.write() as session:
            wrote = write_metrics(
                session, claim.run_id, claim.fence, [(0, "loss", claim.fence, 1.0)]
            )
            stored = register_artifact(
                session,
                run_id=claim.run_id,
                fence=claim.fence,
                role="resume",
                name="resume",
                seed=None,
                epoch=1,
                media_type="text/plain",
                blob=self.lab.blobs.put(b"state"),
            )
        assert alive == wrote == (stored is not None) == self._holds(claim)

    @rule(index=st.integers(0, 50))
    def cancel(self, index: int) -> None:
        if self.experiments:
            experiment_id = self.experiments[index % len(self.experiments)]
            with suppress(InvalidTransition), self.lab.db.write() as session:
                cancel_experiment(session, experiment_id)
            for run in self.lab.runs(experiment_id):
                if run.id not in self.held and run.id not in self.ends:
                    self.ends[run.id] = "cancelled"

    @rule(index=st.integers(0, 50))
    def retry(self, index: int) -> None:
        if self.experiments:
            experiment_id = self.experiments[index % len(self.experiments)]
            failed = [
                run.id for run in self.lab.runs(experiment_id) if self.ends.get(run.id) == "failed"
            ]
            try:
                with self.lab.db.write() as session:
                    retry_experiment(session, experiment_id)
            except InvalidTransition:
                assert failed == []
                return
            for run_id in failed:
                del self.ends[run_id]

    @rule(worker=st.sampled_from(OWNERS))
    def lose_worker(self, worker: str) -> None:
        self._note_expired(expire_worker(self.lab.db, worker, MAX_ATTEMPTS))

    @rule()
    def lose_leases(self) -> None:
        self._note_expired(expire_leases(self.lab.db, MAX_ATTEMPTS))

    def _note_expired(self, run_ids: list[str]) -> None:
        for run_id in run_ids:
            del self.held[run_id]
            row = self.lab.run(run_id)
            if row.status.is_terminal:
                self.ends[run_id] = row.status.value

    def _holds(self, claim: Claim) -> bool:
        return self.held.get(claim.run_id) == claim.fence

    @invariant()
    def rows_agree(self) -> None:
        for experiment_id in self.experiments:
            experiment = self.lab.experiment(experiment_id)
            for run in self.lab.runs(experiment_id):
                expected = self.ends.get(run.id) or ("running" if run.id in self.held else "queued")
                assert run.status == expected == experiment.status
            events = self.lab.events(experiment_id)
            ended = [
                name for name in events if name in {"run.succeeded", "run.failed", "run.cancelled"}
            ]
            assert len(ended) - events.count("run.queued") == experiment.status.is_terminal
            assert events.count("experiment.finished") == len(ended)


def run_model(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        LifeOfRuns,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize(
    ("examples", "steps"),
    [(12, 25), pytest.param(150, 50, marks=pytest.mark.slow)],
    ids=["short", "long"],
)
def test_the_model_holds_on_sqlite(
    sqlite_template: Path, monkeypatch: pytest.MonkeyPatch, examples: int, steps: int
) -> None:
    monkeypatch.setattr(LifeOfRuns, "template", sqlite_template)
    run_model(examples, steps)


@pytest.mark.slow
def test_the_model_holds_on_postgres(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LifeOfRuns, "url", postgres_server)
    run_model(40, 40)
