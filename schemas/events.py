"""Events of an experiment's append-only log."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from schemas.base import StoredResource, UtcDatetime


class EventName(StrEnum):
    """Events that the service writes; kinds add their own (`training.*`, `cache.*`)."""

    EXPERIMENT_SUBMITTED = "experiment.submitted"
    EXPERIMENT_IMPORTED = "experiment.imported"
    EXPERIMENT_EXTENDED = "experiment.extended"
    EXPERIMENT_LOOKED = "experiment.looked"
    EXPERIMENT_CANCEL_REQUESTED = "experiment.cancel_requested"
    EXPERIMENT_FINISHED = "experiment.finished"
    RUN_QUEUED = "run.queued"
    RUN_STARTED = "run.started"
    RUN_PROGRESS = "run.progress"
    RUN_RESUMED = "run.resumed"
    RUN_CHECKPOINT_UNREADABLE = "run.checkpoint_unreadable"
    RUN_CHECKPOINT_NOT_SAVED = "run.checkpoint_not_saved"
    RUN_INTERRUPTED = "run.interrupted"
    RUN_LEASE_LOST = "run.lease_lost"
    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    WEBHOOK_DELIVERED = "webhook.delivered"
    WEBHOOK_FAILED = "webhook.failed"
    END = "end"
    """The last message of a stream; it is not stored."""


class Event(StoredResource):
    """One event. `sequence` counts from 1 within the experiment, without gaps."""

    sequence: int
    name: str
    run_id: str | None
    at: UtcDatetime
    data: dict[str, Any]
