"""A training done by one kind of experiment is loaded by another, and both preview and result say whose it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.spec import Execution
from engine.sweep import expand
from runtime.settings import Settings
from storage.access.ownership import Viewer
from storage.database.engine import Database
from storage.database.tables import RunRow
from storage.files.blobs import BlobStore
from storage.files.trainings import find_trained_specs
from storage.results.stored_results import StoredPlotInput, summarize_experiment
from storage.runs.claim import claim_next
from tests.workers.conftest import Lab
from workers.execution import execute_run

SPEC: dict[str, Any] = {
    "kind": "train",
    "epochs": 1,
    "data": {"name": "synthetic", "train_size": 64, "test_size": 32},
    "model": {"name": "conv_net", "width": 2, "depth": 1},
}
FULL = {**SPEC, "kind": "lws", "policy": {"name": "full"}}


@pytest.fixture
def lab(tmp_path: Path, sqlite_url: str, blobs: BlobStore) -> Iterator[Lab]:
    settings = Settings(home=tmp_path, database_url=sqlite_url, broker_url=None)
    made = Lab(settings, Database(sqlite_url), blobs)
    yield made
    made.close()


def run_through(lab: Lab, spec: dict[str, Any], seeds: tuple[int, ...]) -> tuple[str, str]:
    """Execute it here and now, with reuse; (experiment id, run id)."""
    ids = lab.submit(spec, seeds, wake=False)
    claim = claim_next(
        lab.db, worker="host:1:2", device_class="cpu", device="cpu", lease_seconds=60
    )
    assert claim is not None
    execute_run(lab.db, lab.blobs, lab.settings, replace(claim, reuse=True), "cpu", lambda: False)
    assert lab.run(claim.run_id).status == "succeeded", lab.run(claim.run_id).error_detail
    return ids


def trained(lab: Lab, spec: dict[str, Any]) -> dict[int, str]:
    """By seed, the run whose training a preview names."""
    spec = expand(spec, {})[0].spec.training_spec_digest(Execution())
    with lab.db.read() as session:
        found = find_trained_specs(session, [spec], [0, 1])
    return {seed: run_id for (_, seed), run_id in found.items()}


def test_what_the_preview_names_is_what_the_run_loads_and_the_result_tells(lab: Lab) -> None:
    assert trained(lab, FULL) == {}
    _, first = run_through(lab, SPEC, (0,))
    assert trained(lab, FULL) == {0: first}
    experiment_id, second = run_through(lab, FULL, (0, 1))
    result = summarize_experiment(StoredPlotInput(lab.db, lab.blobs, experiment_id))
    assert result["reused"] == [{"point": 0, "seed": 0, "run_id": first}]
    assert lab.thetas(second)["theta_T", 0] == lab.thetas(first)["theta_T", 0]
    assert trained(lab, SPEC) == {0: first, 1: second}


def test_another_net_is_not_the_same_training(lab: Lab) -> None:
    run_through(lab, SPEC, (0,))
    assert trained(lab, {**FULL, "policy": {"name": "top_k", "k": 1}}) == {}
    assert trained(lab, {**SPEC, "epochs": 2}) == {}


def test_a_training_is_reused_within_its_owner_s_runs_alone(lab: Lab) -> None:
    ada, ben = (replace(lab, db=lab.db.for_viewer(Viewer(worker))) for worker in ("ada", "ben"))
    _, first = submit_and_run(ada, lab)
    _, second = submit_and_run(ben, lab)
    _, third = submit_and_run(ben, lab)
    with lab.db.read() as session:
        loaded = [
            session.get_one(RunRow, run).result[0]["reused_from"] for run in (first, second, third)
        ]
    assert loaded == [None, None, second]


def submit_and_run(worker: Lab, lab: Lab) -> tuple[str, str]:
    """Submitted by the worker, executed by a worker of the service."""
    ids = worker.submit(SPEC, (0,), wake=False)
    claim = claim_next(
        lab.db, worker="host:1:2", device_class="cpu", device="cpu", lease_seconds=60
    )
    assert claim is not None
    execute_run(lab.db, lab.blobs, lab.settings, replace(claim, reuse=True), "cpu", lambda: False)
    return ids
