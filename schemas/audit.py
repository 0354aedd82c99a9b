"""The audit trail: who changed what, and when."""

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
    CORDONED = "cordoned"
    UNCORDONED = "uncordoned"
    HANDED_OVER = "handed-over"
    """The work of one owner became another's, the target"""
    REFUSED = "refused"
    """A request with an invalid key, or with a key that lacks the scope"""


class AuditEntry(Resource):
    """One change, or one refused request."""

    id: str
    at: UtcDatetime
    owner: str | None
    """The owner of the key; null where the request had no valid key."""
    key_id: str | None
    action: Action
    target: str | None
    """The id of an experiment, checkpoint, key or worker, or the name of a data set or host."""
    request_id: str | None
    """As in the response header `X-Request-Id`; null for a command on the service's machine."""
    detail: str | None
