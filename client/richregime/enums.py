"""The enumerations of the API. A value that a newer service adds stays plain text.

Generated from `openapi.yaml` by `python -m ops.client_types`; do not edit.
"""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    SUBMITTED = "submitted"
    CHANGED = "changed"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    EXTENDED = "extended"
    DELETED = "deleted"
    IMPORTED = "imported"
    UPLOADED = "uploaded"
    LOGGED_IN = "logged-in"
    LOGGED_OUT = "logged-out"
    KEY_MADE = "key-made"
    KEY_REVOKED = "key-revoked"
    CORDONED = "cordoned"
    UNCORDONED = "uncordoned"
    HANDED_OVER = "handed-over"
    REFUSED = "refused"


class ActionOutcome(StrEnum):
    DONE = "done"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class ExperimentStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


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


class Keep(StrEnum):
    """Which checkpoints are kept when the experiment has ended.

    Those of the spec's field `checkpoints` always are.
    """

    ALL = "all"
    LAST = "last"
    BEST = "best"
    NONE = "none"


class PlanEnd(StrEnum):
    """Why an experiment adds no more seeds."""

    DECIDED = "decided"
    UNDECIDABLE = "undecidable"
    AT_MOST = "at_most"
    MAX_SECONDS = "max_seconds"
    FILES_DELETED = "files_deleted"
    CANCELLED = "cancelled"


class ProblemCode(StrEnum):
    INVALID_SPEC = "invalid-spec"
    PLAN_TOO_LARGE = "plan-too-large"
    LIMIT_EXCEEDED = "limit-exceeded"
    IDEMPOTENCY_MISMATCH = "idempotency-mismatch"
    IDEMPOTENCY_IN_PROGRESS = "idempotency-in-progress"
    INVALID_TRANSITION = "invalid-transition"
    INVALID_REQUEST = "invalid-request"
    DATASET_UNAVAILABLE = "dataset-unavailable"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NOT_READY = "not-ready"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate-limited"
    PAYLOAD_TOO_LARGE = "payload-too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    STORAGE_FULL = "storage-full"
    UNAVAILABLE = "unavailable"
    NET_NOT_DESCRIBED = "net-not-described"
    UNREADABLE = "unreadable"
    INTERNAL = "internal"


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Scope(StrEnum):
    READ = "read"
    SUBMIT = "submit"
    CANCEL = "cancel"
    ADMIN = "admin"
