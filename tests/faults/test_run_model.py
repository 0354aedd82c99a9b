"""The transitions of runs, compared with a small model for random sequences of operations."""

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
from storage.runs.heartbeats import Beat, send_heartbeat
from storage.runs.lease_expiry import expire_leases, expire_worker
from storage.runs.transitions import cancel_run, fail_run, finish_run, release_run
from tests.postgres import new_database
from tests.workers.worker_harness import WorkerHarness

SPEC = {"kind": "train", "epochs": 1}
WORKER_NAMES = ["host:1:2", "host:1:3"]
MAX_ATTEMPTS = 3


class RunTransitions(RuleBasedStateMachine):
    """`held` is the model: for each running run the only fence that may write."""

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
        self.harness = WorkerHarness(
            Settings(home=home, database_url=url), db, BlobStore(home / "blobs")
        )
        self.held: dict[str, int] = {}
        self.fences: dict[str, int] = {}
        self.experiments: list[str] = []
        self.ends: dict[str, str] = {}

    def teardown(self) -> None:
        self.stack.close()

    @rule(priority=st.integers(-2, 2))
    def submit(self, priority: int) -> None:
        experiment_id, run_id = self.harness.submit(SPEC, wake=False, priority=priority)
        self.experiments.append(experiment_id)
        self.fences[run_id] = 0

    @rule(target=claims, worker=st.sampled_from(WORKER_NAMES), lease=st.sampled_from([60.0, -1.0]))
    def claim(self, worker: str, lease: float) -> Any:
        found = claim_next(
            self.harness.db, worker=worker, device_class="cpu", device="cpu", lease_seconds=lease
        )
        queued = [run for run in self.fences if run not in self.held and run not in self.ends]
        assert (found is None) == (not queued)
        if found is not None:
            assert found.run_id in queued
            assert found.fence > self.fences[found.run_id]
            self.held[found.run_id] = self.fences[found.run_id] = found.fence
        return found

    @rule(claim=claims, ending=st.sampled_from(["finish", "fail", "cancel", "release"]))
    def end(self, claim: Claim | None, ending: str) -> None:
        if claim is None:
            return
        run_id, fence = claim.run_id, claim.fence
        is_cancel_requested = self.harness.run(run_id).cancel_requested_at is not None
        with self.harness.db.write() as session:
            match ending:
                case "finish":
                    moved = finish_run(session, run_id, fence, [{"outcome": "trained"}], {})
                case "fail":
                    moved = fail_run(session, run_id, fence, FailureReason.INTERNAL, "an error")
                case "cancel":
                    moved = cancel_run(session, run_id, fence)
                case _:
                    moved = release_run(session, run_id, fence)
        assert moved == self._holds(claim)
        if moved:
            del self.held[run_id]
            ended = {"finish": "succeeded", "fail": "failed", "cancel": "cancelled"}.get(ending)
            if ending == "release" and is_cancel_requested:
                ended = "cancelled"
            if ended is not None:
                self.ends[run_id] = ended

    @rule(claim=claims)
    def write(self, claim: Claim | None) -> None:
        """Write a metric and a file under a fence that may be outdated."""
        if claim is None:
            return
        alive = send_heartbeat(self.harness.db, Beat(claim.run_id, claim.fence), 60.0).alive
        with self.harness.db.write() as session:
            is_written = write_metrics(
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
                blob=self.harness.blobs.put(b"state"),
            )
        assert alive == is_written == (stored is not None) == self._holds(claim)

    @rule(index=st.integers(0, 50))
    def cancel(self, index: int) -> None:
        if self.experiments:
            experiment_id = self.experiments[index % len(self.experiments)]
            with suppress(InvalidTransition), self.harness.db.write() as session:
                cancel_experiment(session, experiment_id)
            for run in self.harness.runs(experiment_id):
                if run.id not in self.held and run.id not in self.ends:
                    self.ends[run.id] = "cancelled"

    @rule(index=st.integers(0, 50))
    def retry(self, index: int) -> None:
        if self.experiments:
            experiment_id = self.experiments[index % len(self.experiments)]
            failed = [
                run.id
                for run in self.harness.runs(experiment_id)
                if self.ends.get(run.id) == "failed"
            ]
            try:
                with self.harness.db.write() as session:
                    retry_experiment(session, experiment_id)
            except InvalidTransition:
                assert failed == []
                return
            for run_id in failed:
                del self.ends[run_id]

    @rule(worker=st.sampled_from(WORKER_NAMES))
    def lose_worker(self, worker: str) -> None:
        self._note_expired(expire_worker(self.harness.db, worker, MAX_ATTEMPTS))

    @rule()
    def lose_leases(self) -> None:
        self._note_expired(expire_leases(self.harness.db, MAX_ATTEMPTS))

    def _note_expired(self, run_ids: list[str]) -> None:
        for run_id in run_ids:
            del self.held[run_id]
            row = self.harness.run(run_id)
            if row.status.is_terminal:
                self.ends[run_id] = row.status.value

    def _holds(self, claim: Claim) -> bool:
        return self.held.get(claim.run_id) == claim.fence

    @invariant()
    def rows_agree(self) -> None:
        for experiment_id in self.experiments:
            experiment = self.harness.experiment(experiment_id)
            for run in self.harness.runs(experiment_id):
                expected = self.ends.get(run.id) or ("running" if run.id in self.held else "queued")
                assert run.status == expected == experiment.status
            events = self.harness.events(experiment_id)
            ended = [
                name for name in events if name in {"run.succeeded", "run.failed", "run.cancelled"}
            ]
            assert len(ended) - events.count("run.queued") == experiment.status.is_terminal
            assert events.count("experiment.finished") == len(ended)


def check_model(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        RunTransitions,
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
def test_runs_follow_the_model_on_sqlite(
    sqlite_template: Path, monkeypatch: pytest.MonkeyPatch, examples: int, steps: int
) -> None:
    monkeypatch.setattr(RunTransitions, "template", sqlite_template)
    check_model(examples, steps)


@pytest.mark.slow
def test_runs_follow_the_model_on_postgres(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunTransitions, "url", postgres_server)
    check_model(40, 40)
