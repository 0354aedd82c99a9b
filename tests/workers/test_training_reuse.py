"""One kind of experiment reuses a training of another; preview and result name its run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from engine.spec import Execution
from engine.sweep import expand
from runtime.settings import Settings
from storage.database.engine import Database
from storage.database.tables import RunRow, TrainingRow
from storage.files.blobs import BlobStore
from storage.files.trainings import find_trained_specs
from storage.results.stored_results import StoredPlotInput, summarize_experiment
from storage.runs.claim import claim_next
from tests.workers.worker_harness import WorkerHarness
from workers.execution import execute_run

SPEC: dict[str, Any] = {
    "kind": "train",
    "epochs": 1,
    "data": {"name": "synthetic", "train_size": 64, "test_size": 32},
    "model": {"name": "conv_net", "width": 2, "depth": 1},
}
FULL = {**SPEC, "kind": "lws", "policy": {"name": "full"}}


@pytest.fixture
def harness(tmp_path: Path, sqlite_url: str, blobs: BlobStore) -> Iterator[WorkerHarness]:
    settings = Settings(home=tmp_path, database_url=sqlite_url, broker_url=None)
    made = WorkerHarness(settings, Database(sqlite_url), blobs)
    yield made
    made.close()


def execute(
    harness: WorkerHarness, spec: dict[str, Any], seeds: tuple[int, ...], **more: Any
) -> tuple[str, str]:
    """Execute a run with reuse in this process; returns (experiment id, run id)."""
    ids = harness.submit(spec, seeds, wake=False, **more)
    claim = claim_next(
        harness.db, worker="host:1:2", device_class="cpu", device="cpu", lease_seconds=60
    )
    assert claim is not None
    execute_run(
        harness.db,
        harness.blobs,
        harness.settings,
        replace(claim, reuse=True),
        "cpu",
        lambda: False,
    )
    assert harness.run(claim.run_id).status == "succeeded", harness.run(claim.run_id).error_detail
    return ids


def reusable_runs(harness: WorkerHarness, spec: dict[str, Any]) -> dict[int, str]:
    """By seed, the run whose training a preview names."""
    digest = expand(spec, {})[0].spec.training_spec_digest(Execution())
    with harness.db.read() as session:
        found = find_trained_specs(session, {digest: {}}, [0, 1])
    return {seed: run_id for (_, seed), run_id in found.items()}


def test_the_run_loads_the_training_that_the_preview_names_and_the_result_lists_it(
    harness: WorkerHarness,
) -> None:
    assert reusable_runs(harness, FULL) == {}
    _, first = execute(harness, SPEC, (0,))
    assert reusable_runs(harness, FULL) == {0: first}
    experiment_id, second = execute(harness, FULL, (0, 1))
    result = summarize_experiment(StoredPlotInput(harness.db, harness.blobs, experiment_id))
    assert result["reused"] == [{"point": 0, "seed": 0, "run_id": first}]
    assert harness.thetas(second)["theta_T", 0] == harness.thetas(first)["theta_T", 0]
    assert reusable_runs(harness, SPEC) == {0: first, 1: second}


@pytest.mark.parametrize("keep", ["last", "none"])
def test_a_preview_names_no_training_whose_weights_are_not_kept(
    harness: WorkerHarness, keep: str
) -> None:
    _, first = execute(harness, SPEC, (0,), keep=keep)
    with harness.db.read() as session:
        assert [row.run_id for row in session.scalars(select(TrainingRow))] == [first]
    assert reusable_runs(harness, SPEC) == {}
    _, second = execute(harness, SPEC, (0,))
    assert reusable_runs(harness, SPEC) == {0: second}


def test_another_policy_or_length_is_another_training(harness: WorkerHarness) -> None:
    execute(harness, SPEC, (0,))
    assert reusable_runs(harness, {**FULL, "policy": {"name": "top_k", "k": 1}}) == {}
    assert reusable_runs(harness, {**SPEC, "epochs": 2}) == {}


def test_a_training_is_reused_only_by_runs_of_its_owner(harness: WorkerHarness) -> None:
    _, first = submit_and_run(harness, "ada")
    _, second = submit_and_run(harness, "ben")
    _, third = submit_and_run(harness, "ben")
    with harness.db.read() as session:
        results = [session.get_one(RunRow, run).result or [] for run in (first, second, third)]
        loaded = [seed_results[0]["reused_from"] for seed_results in results]
    assert loaded == [None, None, second]


def submit_and_run(harness: WorkerHarness, owner: str) -> tuple[str, str]:
    """Submitted by one owner, executed by a worker that reads all owners' rows."""
    ids = harness.submit(SPEC, (0,), wake=False, owner=owner)
    claim = claim_next(
        harness.db, worker="host:1:2", device_class="cpu", device="cpu", lease_seconds=60
    )
    assert claim is not None
    execute_run(
        harness.db,
        harness.blobs,
        harness.settings,
        replace(claim, reuse=True),
        "cpu",
        lambda: False,
    )
    return ids
