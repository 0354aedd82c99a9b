"""Worker processes that die during looks at verdicts: no look is lost or stored twice."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.sweep import expand
from schemas.submission import Submission
from storage.database.tables import ExperimentRow
from storage.experiments.create import PlannedPoint, PlannedRun, create_experiment
from storage.results.events import list_events
from tests.waiting import wait_until
from tests.workers.worker_harness import WorkerHarness

pytestmark = [
    pytest.mark.xdist_group("worker_looks"),
    pytest.mark.slow,
    pytest.mark.timeout(400),
]

SPEC: dict[str, Any] = {
    "kind": "reinit_sweep",
    "epochs": 2,
    "data": {"name": "digits", "train_size": 500, "test_size": 200},
    "model": {"name": "relu_net", "width": 1000},
    "modes": ["lazy"],
    "fractions_percent": [0, 10, 100],
}
PLAN = {"until": "decided", "first": 3, "step": 2, "at_most": 7}


def submit(harness: WorkerHarness) -> str:
    submission = Submission.model_validate({"spec": SPEC, "seeds": PLAN, "reuse": False})
    point = expand(SPEC, {})[0]
    spec = point.spec.model_dump(mode="json")
    with harness.db.write() as session:
        experiment_id = create_experiment(
            session,
            submission=submission,
            spec=spec,
            digest=point.spec.digest(),
            points=[PlannedPoint(0, {}, spec, point.spec.digest())],
            runs=[PlannedRun(0, (seed,)) for seed in submission.first_seeds],
        ).id
    harness.send_wake_up()
    return experiment_id


def test_looks_survive_the_death_of_children_and_parents(
    make_harness: Callable[..., WorkerHarness], tmp_path: Path
) -> None:
    """A child dies before its look is stored, the parent within the transaction of its own, the
    next one after it was committed."""
    harness = make_harness()
    for place in ("look.1", "look.2", "look.3"):
        (tmp_path / place).write_text("kill")
    experiment_id = submit(harness)
    worker = start(harness, tmp_path)
    starts = 1

    def row() -> ExperimentRow:
        nonlocal worker, starts
        if worker.poll() is not None:
            worker, starts = start(harness, tmp_path), starts + 1
        return harness.experiment(experiment_id)

    ended: ExperimentRow = wait_until(lambda: found if (found := row()).summary else None, 300)
    assert list(tmp_path.iterdir()) == [], "every death took place"
    assert starts >= 3
    assert ended.status == "succeeded"
    assert ended.seed_plan is not None
    with harness.db.read() as session:
        events = list_events(session, experiment_id, 0, 10_000)
    looks = [event.data for event in events if event.name == "experiment.looked"]
    assert [one["look"] for one in looks] == list(range(1, len(looks) + 1))
    assert [one["seeds"] for one in looks] == [3, 5, 7][: len(looks)]
    assert ended.seed_plan["looks_made"] == len(looks)
    assert ended.seeds == list(range(looks[-1]["seeds"]))
    taken = sorted(seed for run in harness.runs(experiment_id) for seed in run.seeds)
    assert taken == ended.seeds
    assert [event.name for event in events].count("experiment.finished") == 1


def start(harness: WorkerHarness, fault_points: Path) -> subprocess.Popen[bytes]:
    """Start a worker, which may die before it listens: its parent looks first."""
    (harness.settings.home / "worker.log").write_text("")
    with suppress(AssertionError):
        harness.start_worker(slots=2, RICHREGIME_FAULT_POINTS=str(fault_points))
    return harness.processes[-1]
