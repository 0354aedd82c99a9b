"""Which files of a finished experiment are kept, and that no referenced file is deleted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection

import pytest
from sqlmodel import Session

from storage.experiments.delete import delete_experiment
from storage.files import retention
from storage.files.artifacts import list_artifacts, referenced_blobs
from storage.files.blobs import ASIDE
from storage.files.retention import delete_unreferenced, find_orphans, sweep_orphans
from storage.files.usage import measure_storage
from tests.faults.fault_injection import SetListener
from tests.faults.in_process_worker import SEEDS, SPEC, InProcessWorker


def best_seed(worker: InProcessWorker, run_id: str) -> int:
    last = {
        point.seed: point.value for point in worker.metrics(run_id) if point.name == "test_accuracy"
    }
    return max(last, key=lambda seed: (last[seed] or 0.0, -seed))


@pytest.mark.parametrize("keep", ["all", "last", "best", "none"])
def test_keep_determines_which_checkpoints_are_kept(worker: InProcessWorker, keep: str) -> None:
    experiment_id, run_id = worker.submit(SPEC, SEEDS, keep=keep)
    worker.work_until_idle()
    best = best_seed(worker, run_id)
    expected = {
        "all": {(name, seed) for name in ("theta_0", "theta_T") for seed in SEEDS},
        "last": {("theta_T", seed) for seed in SEEDS},
        "best": {("theta_T", best)},
        "none": set(),
    }[keep]
    assert set(worker.thetas(run_id)) == expected
    files = {name for name, _ in worker.blobs.list_older_than(-1, float("inf"))}
    assert files == set(worker.thetas(run_id).values())
    assert worker.experiment(experiment_id).summary is not None
    worker.assert_invariants()


@pytest.mark.parametrize("keep", ["all", "last", "best", "none"])
def test_the_checkpoints_that_a_spec_asks_for_are_always_kept(
    worker: InProcessWorker, keep: str
) -> None:
    """Not the one that it only resets to."""
    moments = {
        "checkpoints": {"epochs": [1], "steps": [2]},
        "reset_to": {"name": "step", "step": 1},
    }
    spec = {**SPEC, **moments, "kind": "reinit_sweep", "fractions_percent": [0.0]}
    _, run_id = worker.submit(spec, SEEDS, keep=keep)
    worker.work_until_idle()
    found = {(name, seed) for name, seed in worker.thetas(run_id) if not name.startswith("theta")}
    names = ("epoch_1", "step_2", "step_1") if keep == "all" else ("epoch_1", "step_2")
    assert found == {(name, seed) for name in names for seed in SEEDS}
    worker.assert_invariants()


def test_a_shared_file_is_kept_until_both_experiments_are_deleted(worker: InProcessWorker) -> None:
    first, _ = worker.submit(SPEC, SEEDS)
    second, run_id = worker.submit(SPEC, SEEDS)
    worker.work_until_idle()
    shared = set(worker.thetas(run_id).values())
    for experiment_id, left in ((first, shared), (second, set())):
        with worker.db.write() as session:
            _, freed = delete_experiment(session, experiment_id, dry_run=False)
        delete_unreferenced(worker.db, worker.blobs, freed)
        assert {name for name, _ in worker.blobs.list_older_than(-1, float("inf"))} == left


def test_a_file_deleted_while_its_row_is_written_is_stored_again(
    worker: InProcessWorker, set_listener: SetListener
) -> None:
    """An orphan with the same bytes is swept while another run registers them."""
    _, run_id = worker.submit(SPEC, SEEDS)

    def sweep(name: str) -> None:
        if name == "register.1":
            sweep_orphans(worker.db, worker.blobs, older_than_seconds=-1)

    set_listener(sweep)
    worker.work_until_idle()
    set_listener(None)
    assert worker.run(run_id).status == "succeeded"
    worker.assert_invariants()


def test_a_file_set_aside_is_restored_if_a_row_refers_to_it(
    worker: InProcessWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run_id = worker.submit(SPEC, SEEDS)
    worker.work_until_idle()
    files = set(worker.thetas(run_id).values())
    calls: list[Collection[str]] = []

    def none_at_first(session: Session, names: Collection[str]) -> set[str]:
        calls.append(names)
        return set() if len(calls) == 1 else referenced_blobs(session, names)

    monkeypatch.setattr(retention, "referenced_blobs", none_at_first)
    assert delete_unreferenced(worker.db, worker.blobs, files) == 0
    assert {name for name, _ in worker.blobs.list_older_than(-1, float("inf"))} == files


def test_the_sweep_removes_or_restores_what_dead_processes_left(worker: InProcessWorker) -> None:
    _, run_id = worker.submit(SPEC, SEEDS)
    worker.work_until_idle()
    known = next(iter(worker.thetas(run_id).values()))
    orphan = worker.blobs.put(b"orphan 1").sha256
    assert worker.blobs.set_aside(known)
    assert worker.blobs.set_aside(orphan)
    unfinished = worker.blobs.scratch()
    unfinished.__enter__().write_bytes(b"half an upload")
    half = worker.blobs.path(known)
    half.with_name(f"{half.name}.0123.partial").write_bytes(b"half a file")
    assert find_orphans(worker.db, worker.blobs) == {}
    assert set(find_orphans(worker.db, worker.blobs, -1)) > {orphan + ASIDE}
    assert sweep_orphans(worker.db, worker.blobs, older_than_seconds=-1) == 3
    worker.assert_invariants()


def test_each_stored_file_is_counted_once(worker: InProcessWorker) -> None:
    worker.submit(SPEC, SEEDS)
    experiment_id, run_id = worker.submit(SPEC, SEEDS)
    worker.work_until_idle()
    with worker.db.read() as session:
        size = sum(row.num_bytes for row in list_artifacts(session, run_id, "checkpoint"))
    found = measure_storage(worker.db, worker.blobs)
    assert found.bytes == size
    assert {role.role: role.bytes for role in found.roles if role.bytes} == {"checkpoint": size}
    assert experiment_id in [one.id for one in found.largest_experiments if one.bytes == size]
    assert found.free_bytes is not None


def test_gc_reports_with_dry_run_and_deletes_without(worker: InProcessWorker) -> None:
    orphan = worker.blobs.put(b"orphan 1").sha256
    environment = {
        "RICHREGIME_DATABASE_URL": worker.settings.resolved_database_url,
        "RICHREGIME_BLOB_DIR": str(worker.blobs.path(orphan).parents[1]),
        "PATH": "/usr/bin:/bin",
        "HOME": str(worker.settings.home),
    }
    command = [sys.executable, "-m", "richregime", "gc", "--older-than", "-1"]
    for options, exists, words in ((["--dry-run"], True, "would be"), ([], False, "were")):
        done = subprocess.run(
            [*command, *options],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert done.stdout == f"1 files of 8 bytes {words} deleted\n"
        assert worker.blobs.exists(orphan) == exists
