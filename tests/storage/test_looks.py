"""Experiments that add seeds until their verdicts are decided, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from sqlmodel import col, select

from engine.paper.looks import LookOutcome
from runtime import fault_points
from runtime.settings import Settings
from schemas.resources import ExperimentUpdate
from schemas.seed_plan import PlanEnd, SeedsUntilDecided
from schemas.status import ExperimentStatus
from schemas.submission import Submission
from storage.access.ownership import Viewer
from storage.database.tables import EventRow, PointRow, RunRow
from storage.errors import InvalidTransition
from storage.experiments.cancel import cancel_experiment
from storage.experiments.create import PlannedPoint, PlannedRun, create_experiment
from storage.experiments.delete import delete_experiment
from storage.experiments.finalize import experiments_without_summary
from storage.experiments.looks import (
    QueueLimits,
    StoredLook,
    find_due_look,
    list_due_looks,
    store_look,
)
from storage.experiments.retry_extend import extend_experiment, retry_experiment
from storage.experiments.update import update_experiment
from storage.files.blobs import BlobStore
from storage.runs.placement import Needs
from storage.runs.transitions import finish_run
from tests.faults.fault_injection import KillAt, WorkerKilled
from tests.storage.conftest import SPEC, Store
from workers import looks

pytestmark = pytest.mark.xdist_group("storage")

OPEN = LookOutcome(decided=False, is_open=True)
DECIDED = LookOutcome(decided=True, is_open=False)
UNDECIDABLE = LookOutcome(decided=False, is_open=False)
NO_LIMITS = QueueLimits(of_owner=10**6, of_all=10**6)
NEEDS = Needs("cpu", 1 << 20, "")
SEED_RESULT = {
    "outcome": "trained",
    "test_accuracy": 0.9,
    "initial_test_accuracy": 0.1,
    "train_loss": 0.2,
    "timings": {"forward_seconds": 1.0},
}


@dataclass(frozen=True)
class Growing:
    """Experiments with a plan of 3, 5, 7 and 8 seeds, and the steps that make them grow."""

    store: Store

    def submit(self, *, owner: str = "", max_seconds: int | None = None) -> str:
        """One run for the first three seeds at each of two points: `auto` for stacked nets."""
        seeds = SeedsUntilDecided(until="decided", first=3, step=2, at_most=8)
        submission = Submission(
            spec=SPEC, seeds=seeds, max_seconds=max_seconds, sweep={"model.width": [10, 20]}
        )
        points = [
            PlannedPoint(index, {"model.width": width}, SPEC, str(index))
            for index, width in enumerate((10, 20))
        ]
        with self.store.db.for_viewer(Viewer(owner)).write() as session:
            return create_experiment(
                session,
                submission=submission,
                spec=SPEC,
                digest="0" * 64,
                points=points,
                runs=[PlannedRun(index, (0, 1, 2), NEEDS) for index in range(2)],
            ).id

    def finish_runs(self) -> None:
        """Every queued run succeeds after 10 seconds of computing."""
        while (claim := self.store.try_claim(memory_bytes=1 << 30)) is not None:
            results = [{**SEED_RESULT, "seed": seed} for seed in claim.seeds]
            with self.store.db.write() as session:
                assert finish_run(session, claim.run_id, claim.fence, results, {}, 10.0)

    def submit_and_finish(self, **more: Any) -> str:
        experiment_id = self.submit(**more)
        self.finish_runs()
        return experiment_id

    def look(
        self, experiment_id: str, outcome: LookOutcome, limits: QueueLimits = NO_LIMITS
    ) -> StoredLook | None:
        with self.store.db.read() as session:
            due = find_due_look(session, experiment_id)
        assert due is not None
        with self.store.db.write() as session:
            return store_look(session, due, outcome, [], limits)

    def due(self) -> list[str]:
        with self.store.db.read() as session:
            return list_due_looks(session)

    def plan(self, experiment_id: str) -> Mapping[str, Any]:
        plan = self.store.experiment(experiment_id).seed_plan
        assert plan is not None
        return plan

    def runs(self, experiment_id: str) -> list[RunRow]:
        with self.store.db.read() as session:
            query = select(RunRow).where(RunRow.experiment_id == experiment_id)
            return list(session.exec(query.order_by(col(RunRow.id))))

    def seeds_of_runs(self, experiment_id: str) -> list[tuple[int, ...]]:
        return [tuple(run.seeds) for run in self.runs(experiment_id)]

    def events(self, experiment_id: str, name: str) -> list[Mapping[str, Any]]:
        with self.store.db.read() as session:
            query = select(EventRow).where(
                EventRow.experiment_id == experiment_id, EventRow.name == name
            )
            return [event.data for event in session.exec(query.order_by(col(EventRow.sequence)))]

    def status(self, experiment_id: str) -> ExperimentStatus:
        return self.store.experiment(experiment_id).status


@pytest.fixture
def growing(store: Store) -> Growing:
    return Growing(store)


def test_it_runs_until_its_verdicts_were_looked_at(growing: Growing) -> None:
    experiment_id = growing.submit()
    assert growing.due() == []
    growing.finish_runs()
    assert growing.status(experiment_id) is ExperimentStatus.RUNNING
    assert growing.store.experiment(experiment_id).finished_at is None
    assert growing.due() == [experiment_id]
    assert growing.look(experiment_id, DECIDED) == StoredLook([])
    assert growing.status(experiment_id) is ExperimentStatus.SUCCEEDED
    assert growing.due() == []
    assert growing.plan(experiment_id)["ended"] == "decided"
    assert len(growing.events(experiment_id, "experiment.finished")) == 1


def test_an_open_look_adds_the_next_seeds_at_every_point(growing: Growing) -> None:
    experiment_id = growing.submit_and_finish()
    stored = growing.look(experiment_id, OPEN)
    assert stored == StoredLook([NEEDS, NEEDS])
    row = growing.store.experiment(experiment_id)
    assert (row.status, row.seeds) == (ExperimentStatus.RUNNING, [0, 1, 2, 3, 4])
    assert growing.seeds_of_runs(experiment_id) == [(0, 1, 2), (0, 1, 2), (3, 4), (3, 4)]
    assert growing.due() == []
    extended = growing.events(experiment_id, "experiment.extended")
    assert extended == [{"points": 0, "runs": 2, "seeds": [0, 1, 2, 3, 4]}]


def test_it_ends_with_the_most_seeds_after_the_planned_looks(growing: Growing) -> None:
    experiment_id = growing.submit_and_finish()
    for seeds in (5, 7, 8):
        growing.look(experiment_id, OPEN)
        assert len(growing.store.experiment(experiment_id).seeds) == seeds
        growing.finish_runs()
    growing.look(experiment_id, OPEN)
    assert growing.status(experiment_id) is ExperimentStatus.SUCCEEDED
    plan = growing.plan(experiment_id)
    assert (plan["looks_planned"], plan["looks_made"], plan["ended"]) == (4, 4, "at_most")
    looked = growing.events(experiment_id, "experiment.looked")
    assert [(one["look"], one["looks"], one["seeds"], one["ended"]) for one in looked] == [
        (1, 4, 3, None),
        (2, 4, 5, None),
        (3, 4, 7, None),
        (4, 4, 8, "at_most"),
    ]
    assert {one["confidence"] for one in looked} == {1 - 0.05 / 4}


def test_no_seeds_are_added_where_none_can_decide(growing: Growing) -> None:
    experiment_id = growing.submit_and_finish()
    growing.look(experiment_id, UNDECIDABLE)
    assert growing.plan(experiment_id)["ended"] == "undecidable"
    assert growing.status(experiment_id) is ExperimentStatus.SUCCEEDED


@pytest.mark.parametrize(("max_seconds", "ended"), [(33, "max_seconds"), (34, None)])
def test_no_seeds_are_added_that_would_compute_for_too_long(
    growing: Growing, max_seconds: int, ended: str | None
) -> None:
    """Two runs of 10 s for three seeds; two more seeds take 20 * 2 / 3 s."""
    experiment_id = growing.submit_and_finish(max_seconds=max_seconds)
    growing.look(experiment_id, OPEN)
    assert growing.plan(experiment_id)["ended"] == ended


def test_a_look_is_stored_once(growing: Growing) -> None:
    experiment_id = growing.submit_and_finish()
    with growing.store.db.read() as session:
        due = find_due_look(session, experiment_id)
    assert due is not None
    stored = []
    for _ in range(2):
        with growing.store.db.write() as session:
            stored.append(store_look(session, due, OPEN, [], NO_LIMITS))
    assert stored[0] is not None
    assert stored[1] is None
    assert len(growing.store.experiment(experiment_id).seeds) == 5


def test_looks_at_the_same_time_add_seeds_once(growing: Growing) -> None:
    """Workers that all have judged before the first of them stores."""
    for _ in range(10):
        experiment_id = growing.submit_and_finish()
        together = threading.Barrier(4)
        stored: list[StoredLook | None] = []

        def look_together(
            experiment_id: str = experiment_id,
            together: threading.Barrier = together,
            stored: list[StoredLook | None] = stored,
        ) -> None:
            with growing.store.db.read() as session:
                due = find_due_look(session, experiment_id)
            assert due is not None
            together.wait()
            with growing.store.db.write() as session:
                stored.append(store_look(session, due, OPEN, [], NO_LIMITS))

        threads = [threading.Thread(target=look_together) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(stored) == 4
        assert sum(one is not None for one in stored) == 1
        assert growing.seeds_of_runs(experiment_id) == [(0, 1, 2)] * 2 + [(3, 4)] * 2
        assert len(growing.events(experiment_id, "experiment.looked")) == 1
        growing.finish_runs()
        growing.look(experiment_id, DECIDED)


def test_seeds_that_do_not_fit_into_the_queue_wait(growing: Growing) -> None:
    experiment_id = growing.submit_and_finish(owner="ada")
    for limits in (QueueLimits(of_owner=1, of_all=9), QueueLimits(of_owner=9, of_all=1)):
        assert growing.look(experiment_id, OPEN, limits) == StoredLook((), waits_for_queue=True)
        assert growing.due() == [experiment_id]
        assert growing.plan(experiment_id)["looks_made"] == 0
        assert growing.events(experiment_id, "experiment.looked") == []
    growing.look(experiment_id, OPEN, QueueLimits(of_owner=2, of_all=2))
    assert len(growing.store.experiment(experiment_id).seeds) == 5


def test_the_limit_of_owners_does_not_bind_a_service_without_keys(growing: Growing) -> None:
    experiment_id = growing.submit_and_finish()
    growing.look(experiment_id, OPEN, QueueLimits(of_owner=0, of_all=2))
    assert len(growing.store.experiment(experiment_id).seeds) == 5


def test_a_cancelled_experiment_adds_no_seeds(growing: Growing) -> None:
    """Between its last run and the look, and while a run may still succeed."""
    experiment_id = growing.submit_and_finish()
    with growing.store.db.read() as session:
        due = find_due_look(session, experiment_id)
    assert due is not None
    with growing.store.db.write() as session:
        cancel_experiment(session, experiment_id)
    assert growing.status(experiment_id) is ExperimentStatus.CANCELLED
    with growing.store.db.write() as session:
        assert store_look(session, due, OPEN, [], NO_LIMITS) is None
    assert growing.plan(experiment_id)["ended"] == "cancelled"
    assert growing.events(experiment_id, "experiment.cancel_requested") == [{"runs": 0}]
    assert len(growing.events(experiment_id, "experiment.finished")) == 1
    with pytest.raises(InvalidTransition, match="cancelled"), growing.store.db.write() as session:
        extend_experiment(
            session,
            experiment_id,
            submission=Submission(spec=SPEC),
            seeds=[0, 1, 2, 3],
            digest="",
            points=[],
            runs=[],
            shared_checkpoints={},
        )


def test_a_run_that_succeeds_after_the_request_does_not_undo_a_cancel(growing: Growing) -> None:
    experiment_id = growing.submit()
    first = growing.store.claim(memory_bytes=1 << 30)
    second = growing.store.claim(memory_bytes=1 << 30)
    with growing.store.db.write() as session:
        cancel_experiment(session, experiment_id)
    for claim in (first, second):
        assert growing.store.finish(claim.run_id, claim.fence)
    assert growing.status(experiment_id) is ExperimentStatus.CANCELLED
    assert growing.due() == []


def test_a_failed_run_ends_the_experiment_and_a_retry_goes_on(growing: Growing) -> None:
    experiment_id = growing.submit()
    claim = growing.store.claim(memory_bytes=1 << 30)
    growing.store.fail(claim.run_id, claim.fence)
    growing.finish_runs()
    assert growing.status(experiment_id) is ExperimentStatus.FAILED
    assert growing.due() == []
    with growing.store.db.write() as session:
        retry_experiment(session, experiment_id)
    growing.finish_runs()
    assert growing.due() == [experiment_id]
    growing.look(experiment_id, OPEN)
    assert len(growing.store.experiment(experiment_id).seeds) == 5


def test_it_is_deleted_only_once_it_has_ended(growing: Growing) -> None:
    experiment_id = growing.submit_and_finish()
    with pytest.raises(InvalidTransition, match="cancel it"), growing.store.db.write() as session:
        delete_experiment(session, experiment_id, dry_run=False)
    with growing.store.db.read() as session:
        due = find_due_look(session, experiment_id)
        assert experiments_without_summary(session) == []
    assert due is not None
    with growing.store.db.write() as session:
        cancel_experiment(session, experiment_id)
        delete_experiment(session, experiment_id, dry_run=False)
    with growing.store.db.write() as session:
        assert store_look(session, due, OPEN, [], NO_LIMITS) is None


def test_an_extension_during_a_look_comes_first(growing: Growing) -> None:
    experiment_id = growing.submit_and_finish()
    with growing.store.db.read() as session:
        due = find_due_look(session, experiment_id)
    assert due is not None
    with growing.store.db.write() as session:
        extend_experiment(
            session,
            experiment_id,
            submission=Submission(spec=SPEC, sweep={"model.width": [10, 20]}),
            seeds=[0, 1, 2, 4],
            digest="1" * 64,
            points=[],
            runs=[PlannedRun(index, (4,), NEEDS) for index in range(2)],
            shared_checkpoints={},
        )
    with growing.store.db.write() as session:
        assert store_look(session, due, OPEN, [], NO_LIMITS) is None
    growing.finish_runs()
    growing.look(experiment_id, OPEN)
    assert growing.store.experiment(experiment_id).seeds == [0, 1, 2, 4, 3, 5]


def test_points_that_share_a_training_share_the_added_ones(growing: Growing) -> None:
    experiment_id = growing.submit()
    with growing.store.db.write() as session:
        for run in session.exec(select(RunRow).where(RunRow.experiment_id == experiment_id)):
            run.training = "t" * 64
            session.add(run)
    growing.finish_runs()
    growing.look(experiment_id, OPEN)
    growing.finish_runs()
    growing.look(experiment_id, OPEN)
    trainings = [run.training for run in growing.runs(experiment_id)]
    assert all(trainings)
    assert trainings[::2] == trainings[1::2]
    assert len(set(trainings)) == 3


def test_added_runs_have_the_priority_of_the_moment(growing: Growing) -> None:
    experiment_id = growing.submit_and_finish()
    with growing.store.db.write() as session:
        update_experiment(session, experiment_id, ExperimentUpdate(priority=7))
    growing.look(experiment_id, OPEN)
    assert [run.priority for run in growing.runs(experiment_id)] == [0, 0, 7, 7]


def test_a_deleted_data_set_ends_the_plan(growing: Growing) -> None:
    experiment_id = growing.submit_and_finish()
    with growing.store.db.write() as session:
        query = select(PointRow).where(PointRow.experiment_id == experiment_id)
        for point in session.exec(query):
            point.spec = {**SPEC, "data": {"name": "mine"}}
            session.add(point)
    growing.look(experiment_id, OPEN)
    assert growing.plan(experiment_id)["ended"] == PlanEnd.FILES_DELETED
    assert growing.status(experiment_id) is ExperimentStatus.SUCCEEDED


@pytest.mark.parametrize("place", ["look.1", "look.2", "look.3"])
@pytest.mark.parametrize("decided", [False, True])
def test_a_look_that_was_cut_off_is_made_again(
    growing: Growing,
    blobs: BlobStore,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    decided: bool,
) -> None:
    verdict = "reproduced" if decided else "inconclusive"
    monkeypatch.setattr(looks, "compare", lambda *_, **__: made_verdicts(verdict))
    experiment_id = growing.submit_and_finish()
    monkeypatch.setattr(fault_points, "listener", KillAt(place))
    settings = Settings(broker_url=None)
    for _ in range(3):
        with suppress(WorkerKilled):
            looks.look_at_all(growing.store.db, blobs, settings)
    row = growing.store.experiment(experiment_id)
    assert growing.plan(experiment_id)["looks_made"] == 1
    assert len(growing.events(experiment_id, "experiment.looked")) == 1
    assert row.seeds == ([0, 1, 2] if decided else [0, 1, 2, 3, 4])
    assert len(growing.events(experiment_id, "experiment.finished")) == decided


def made_verdicts(verdict: str) -> SimpleNamespace:
    """One verdict with a value."""
    finding = SimpleNamespace(role="part", verdict=verdict, value=0.1)
    fields: dict[str, Any] = {
        "claim": 4,
        "point": {},
        "value": 0.1,
        "interval": (-0.1, 0.3),
        "n": 3,
        "verdict": verdict,
        "findings": (finding,),
    }
    return SimpleNamespace(verdicts=(SimpleNamespace(**fields),), own_verdicts=())
