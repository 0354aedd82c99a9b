"""A disk that fills while a run writes a file: the run goes on, or fails whole and is retried."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from storage.experiments.retry_extend import retry_experiment
from tests.faults.fault_injection import KillAt, SetListener
from tests.faults.in_process_worker import InProcessWorker
from tests.faults.invariants import bits_of

pytestmark = pytest.mark.xdist_group("full_disk_in_a_run")

MIB = 1 << 20
WIDE = {
    "kind": "train",
    "epochs": 2,
    "batch_size": 64,
    "data": {"name": "synthetic", "train_size": 128, "test_size": 64},
    "model": {"name": "relu_net", "width": 700},
}
"""Its weights take 2.1 MiB, its resume state three times as much, its database less than one."""


@contextmanager
def files_up_to(num_bytes: int) -> Iterator[None]:
    """No file of this process can become larger: a write fails half way, as on a full disk."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard_limit))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard_limit, hard_limit))


def partial_files(worker: InProcessWorker) -> list[str]:
    names = [name for name, _ in worker.blobs.list_older_than(-1, float("inf"))]
    return [name for name in names if len(name) != 64]


def test_a_run_whose_saves_do_not_fit_goes_on_without_them(worker: InProcessWorker) -> None:
    reference = worker.reference(WIDE)
    experiment_id, run_id = worker.submit(WIDE)
    with files_up_to(4 * MIB):
        worker.work()
    assert worker.run(run_id).status == "succeeded"
    assert "run.checkpoint_not_saved" in worker.events(experiment_id)
    assert partial_files(worker) == []
    assert worker.resume_states(run_id) == []
    worker.work_until_idle()
    assert worker.assert_invariants(reference).compared == 2


def test_a_run_resumes_from_the_last_save_that_did_fit(
    worker: InProcessWorker, set_listener: SetListener
) -> None:
    """The disk fills after the first save; the worker dies some saves later."""
    reference = worker.reference(WIDE)
    experiment_id, run_id = worker.submit(WIDE)
    set_listener(KillAt("save.3"))
    worker.work()
    assert len(worker.resume_states(run_id)) == 1
    with files_up_to(4 * MIB):
        set_listener(KillAt("save.1", 2))
        worker.work()
    set_listener(None)
    assert partial_files(worker) == []
    worker.work_until_idle()
    assert worker.run(run_id).status == "succeeded"
    events = worker.events(experiment_id)
    assert events.count("run.resumed") == 2
    assert "run.checkpoint_unreadable" not in events
    assert worker.assert_invariants(reference).compared == 2


def test_a_run_whose_results_do_not_fit_fails_with_a_reason_and_succeeds_when_retried(
    worker: InProcessWorker,
) -> None:
    reference = worker.reference(WIDE)
    for stored in worker.thetas(worker.runs(worker.accepted[0])[0].id).values():
        worker.blobs.delete(stored)
    experiment_id, run_id = worker.submit(WIDE)
    with files_up_to(2 * MIB):
        worker.work()
    row = worker.run(run_id)
    assert (row.status, row.error_code) == ("failed", "storage_full")
    assert partial_files(worker) == []
    with worker.db.write() as session:
        retry_experiment(session, experiment_id)
    worker.work_until_idle()
    assert worker.run(run_id).status == "succeeded"
    assert [bits_of(worker.db, run_id)] == list(reference.values())
