"""RFC 9457 problems: the one shape of every error, and its codes."""

from __future__ import annotations

from enum import StrEnum

from schemas.base import Resource

PROBLEM_MEDIA_TYPE = "application/problem+json"


class ProblemCode(StrEnum):
    INVALID_SPEC = "invalid-spec"
    PLAN_TOO_LARGE = "plan-too-large"
    LIMIT_EXCEEDED = "limit-exceeded"
    IDEMPOTENCY_MISMATCH = "idempotency-mismatch"
    IDEMPOTENCY_IN_PROGRESS = "idempotency-in-progress"
    INVALID_TRANSITION = "invalid-transition"
    INVALID_REQUEST = "invalid-request"
    """A parameter, header, cursor or body that is wrong without being a spec."""
    DATASET_UNAVAILABLE = "dataset-unavailable"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NOT_READY = "not-ready"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate-limited"
    PAYLOAD_TOO_LARGE = "payload-too-large"
    STORAGE_FULL = "storage-full"
    UNAVAILABLE = "unavailable"
    UNREADABLE = "unreadable"
    """Something that is stored is damaged."""
    INTERNAL = "internal"


class ProblemError(Resource):
    """One field that is wrong: an RFC 6901 pointer into the body that was sent."""

    pointer: str
    code: str
    detail: str


class Problem(Resource):
    """An error, as every route answers it."""

    type: str
    title: str
    status: int
    code: ProblemCode
    detail: str
    instance: str | None = None
    request_id: str | None = None
    errors: list[ProblemError] | None = None
