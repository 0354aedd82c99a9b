"""The audit trail: who did what, when, to what."""

from __future__ import annotations

from enum import StrEnum

from schemas.base import Resource, UtcDatetime


class Action(StrEnum):
    SUBMITTED = "submitted"
    CHANGED = "changed"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    EXTENDED = "extended"
    DELETED = "deleted"
    IMPORTED = "imported"
    UPLOADED = "uploaded"
    """A data set or a checkpoint"""
    LOGGED_IN = "logged-in"
    LOGGED_OUT = "logged-out"
    KEY_MADE = "key-made"
    KEY_REVOKED = "key-revoked"
    REFUSED = "refused"
    """A key that does not hold was shown, or one without the scope"""


class AuditEntry(Resource):
    """One thing that was done, or refused."""

    id: str
    at: UtcDatetime
    owner: str | None
    """Whoever did it; null: no key was asked for, or none that holds was shown."""
    key_id: str | None
    action: Action
    target: str | None
    """What it was done to: the id of an experiment, checkpoint or key, or the name of a data set."""
    request_id: str | None
    """As in the answer's `X-Request-Id`; null: done on the service's own machine."""
    detail: str | None
