"""RFC 9457 problems: the type of every error response, and the error codes."""

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
    """An invalid parameter, header, cursor, or body that is not a spec."""
    DATASET_UNAVAILABLE = "dataset-unavailable"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NOT_READY = "not-ready"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate-limited"
    PAYLOAD_TOO_LARGE = "payload-too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    """An upload that is an HTML form or encoded."""
    STORAGE_FULL = "storage-full"
    UNAVAILABLE = "unavailable"
    NET_NOT_DESCRIBED = "net-not-described"
    """No worker has found the layers of the net yet; repeat the request."""
    UNREADABLE = "unreadable"
    """Stored data is damaged."""
    INTERNAL = "internal"


class ProblemError(Resource):
    """One invalid field. `pointer` is an RFC 6901 pointer into the request's body."""

    pointer: str
    code: str
    detail: str


class Problem(Resource):
    """An error, as every route returns it."""

    type: str
    """Where the guide explains the code: a path of the service, with an anchor."""
    title: str
    status: int
    code: ProblemCode
    detail: str
    instance: str | None = None
    request_id: str | None = None
    errors: list[ProblemError] | None = None
