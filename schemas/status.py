"""The life of a run: its states and the only moves between them. An experiment's status is derived from its runs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


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
"""Every move a run may make. A retry makes a new attempt of a failed run by the storage's own conditional move."""


class FailureReason(StrEnum):
    """Why a run failed: a closed set."""

    WORKER_LOST = "worker_lost"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    STORAGE_FULL = "storage_full"
    DATASET_UNAVAILABLE = "dataset_unavailable"
    INVALID_SPEC = "invalid_spec"
    STALLED = "stalled"
    INTERNAL = "internal"


def derive_experiment_status(counts: Mapping[RunStatus, int]) -> ExperimentStatus:
    """An experiment's status from how many of its runs are in each state.

    It is terminal exactly when all its runs are: cancelled where any run was, else failed where any failed.
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
    return ExperimentStatus.SUCCEEDED
