"""API keys as they are listed."""

from __future__ import annotations

from schemas.access import Scope
from schemas.base import Resource, UtcDatetime


class Key(Resource):
    """A key without its secret part, which is shown once when the key is created."""

    id: str
    owner: str
    scopes: list[Scope]
    created_at: UtcDatetime
    expires_at: UtcDatetime | None
    """Null: never."""
    revoked_at: UtcDatetime | None
