"""How an executed run ends, and the reason that it stores when it fails."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import torch

from engine.context import ResumeState
from engine.determinism import deterministic
from engine.errors import (
    DatasetUnavailable,
    InvalidSpec,
    OutOfMemory,
    WeightsUnavailable,
)
from storage.runs.claim import Claim
from tests.workers.run_contexts import (
    stored_files,
)
from tests.workers.worker_harness import WorkerHarness
from workers import execution
from workers.context import RunTimedOut


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DatasetUnavailable("no such data set"), "dataset_unavailable"),
        (WeightsUnavailable("no weights"), "weights_unavailable"),
        (InvalidSpec.single("#/spec", "wrong", "wrong"), "invalid_spec"),
        (OutOfMemory("full"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "storage_full"),
        (RunTimedOut("too long"), "timeout"),
        (KeyError("secret"), "internal"),
    ],
)
def test_every_error_has_a_failure_reason(error: Exception, reason: str) -> None:
    found, detail = execution.classify(error)
    assert found == reason
    assert "secret" not in detail


def test_an_operation_without_a_deterministic_kernel_is_named() -> None:
    with deterministic(), pytest.raises(RuntimeError) as raised:
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
    found, detail = execution.classify(raised.value)
    assert found == "model_rejected"
    assert detail.startswith("put_ has no deterministic kernel on this device; submit")


def test_a_kind_that_raises_fails_the_run_without_a_traceback(
    harness: WorkerHarness, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_kind(spec: Any, ctx: Any) -> Any:
        ctx.save_resume(ResumeState(1, b"tensors", {}))
        raise ZeroDivisionError("/srv/secret")

    monkeypatch.setattr("engine.kind.Kind.load_run", lambda self: run_kind)
    execution.execute_run(harness.db, harness.blobs, harness.settings, claim, "cpu", lambda: False)
    row = harness.run(claim.run_id)
    assert (row.status, row.error_code) == ("failed", "internal")
    assert row.error_detail is not None
    assert "secret" not in row.error_detail
    assert stored_files(harness) == set()
    assert harness.experiment(claim.experiment_id).summary is not None


def test_a_broken_gpu_fails_the_run_before_its_process_ends(
    harness: WorkerHarness, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_kind(spec: Any, ctx: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("engine.kind.Kind.load_run", lambda self: run_kind)
    with pytest.raises(execution.DeviceBroken):
        execution.execute_run(
            harness.db, harness.blobs, harness.settings, claim, "cpu", lambda: False
        )
    assert harness.run(claim.run_id).status == "failed"
