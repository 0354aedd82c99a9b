"""The states of runs and experiments, and the transitions of a run.

An experiment's status is derived from its runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from schemas.seed_plan import PlanEnd, SeedPlan


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return not MOVES[self]


class ExperimentStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in (self.SUCCEEDED, self.FAILED, self.CANCELLED)


MOVES: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED, RunStatus.FAILED}),
    RunStatus.RUNNING: frozenset(
        {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.QUEUED}
    ),
    RunStatus.SUCCEEDED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
}
"""Every transition of a run, except failed -> queued, which only a retry makes."""


class FailureReason(StrEnum):
    """Why a run failed."""

    WORKER_LOST = "worker_lost"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    STORAGE_FULL = "storage_full"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    DATASET_UNAVAILABLE = "dataset_unavailable"
    WEIGHTS_UNAVAILABLE = "weights_unavailable"
    MODEL_REJECTED = "model_rejected"
    INVALID_SPEC = "invalid_spec"
    STALLED = "stalled"
    INTERNAL = "internal"


def derive_experiment_status(
    counts: Mapping[RunStatus, int], plan: SeedPlan | None = None
) -> ExperimentStatus:
    """An experiment's status from the number of its runs in each state.

    It is terminal when all runs are: cancelled if any run was cancelled, else failed if any failed,
    else succeeded. Where all runs have succeeded but it may still add seeds by its plan, it is
    running until its verdicts have been looked at, and cancelled where a request has ended that.
    """
    present = {status for status, count in counts.items() if count}
    if not present:
        return ExperimentStatus.QUEUED
    if any(not status.is_terminal for status in present):
        return (
            ExperimentStatus.QUEUED if present == {RunStatus.QUEUED} else ExperimentStatus.RUNNING
        )
    if RunStatus.CANCELLED in present:
        return ExperimentStatus.CANCELLED
    if RunStatus.FAILED in present:
        return ExperimentStatus.FAILED
    if plan is not None and plan.ended is None:
        return ExperimentStatus.RUNNING
    if plan is not None and plan.ended is PlanEnd.CANCELLED:
        return ExperimentStatus.CANCELLED
    return ExperimentStatus.SUCCEEDED
