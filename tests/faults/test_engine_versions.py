"""Workers with two versions of the engine: neither resumes nor reuses what the other computed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine import spec as spec_module
from storage.experiments import find
from storage.experiments.find import find_reusable
from tests.faults.in_process_worker import SEEDS, SPEC, InProcessWorker
from tests.workers.run_contexts import make_context, save_resume
from workers import context


def become_version(patch: pytest.MonkeyPatch, version: int) -> None:
    """Make this process one whose engine trains other numbers."""
    for module in (spec_module, context, find):
        patch.setattr(module, "TRAINING_VERSION", version)


def test_a_worker_of_another_version_starts_an_interrupted_run_again(
    worker: InProcessWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_id, _ = worker.submit(SPEC)
    save_resume(make_context(worker, worker.require_claim()), 1)
    worker.expire_own_runs()
    claim = worker.require_claim()
    become_version(monkeypatch, 2)
    assert make_context(worker, claim).load_resume() is None
    assert worker.events(experiment_id)[-1] == "run.checkpoint_unreadable"
    become_version(monkeypatch, 1)
    found = make_context(worker, claim).load_resume()
    assert found is not None
    assert found.step == 1


def test_resume_state_of_an_earlier_service_has_the_first_versions(
    worker: InProcessWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run_id = worker.submit(SPEC)
    claim = worker.require_claim()
    ctx = make_context(worker, claim)
    save_resume(ctx, 1)
    head, separator, tensors = worker.blobs.read(worker.resume_states(run_id)[0].sha256).partition(
        b"\n"
    )
    header = json.loads(head)
    del header["versions"]
    earlier = json.dumps(header).encode() + separator + tensors
    assert ctx._parse_resume(earlier).step == 1
    become_version(monkeypatch, 2)
    with pytest.raises(ValueError, match="another version"):
        make_context(worker, claim)._parse_resume(earlier)


def test_a_training_of_another_version_is_not_reused(
    worker: InProcessWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first = worker.submit(SPEC, SEEDS)
    worker.work_until_idle()
    become_version(monkeypatch, 2)
    assert trained_by(worker) is None
    assert trained_by(worker) is not None, "its own training is reused"
    become_version(monkeypatch, 1)
    assert trained_by(worker) == first


def trained_by(worker: InProcessWorker) -> str | None:
    """The run whose training a new run of the same spec reuses."""
    _, run_id = worker.submit(SPEC, SEEDS)
    worker.execute(replace(worker.require_claim(), reuse=True))
    result = worker.run(run_id).result
    assert result is not None
    found: str | None = result[0].get("reused_from")
    return found


def test_an_experiment_of_another_version_is_not_reused(
    worker: InProcessWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_id, _ = worker.submit(SPEC, SEEDS)
    worker.work_until_idle()
    digest = worker.experiment(experiment_id).digest
    assert reusable(worker, digest) == experiment_id
    become_version(monkeypatch, 2)
    assert reusable(worker, digest) is None


def reusable(worker: InProcessWorker, digest: str) -> str | None:
    with worker.db.read() as session:
        row = find_reusable(session, digest)
    return None if row is None else row.id
