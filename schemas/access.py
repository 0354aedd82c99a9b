"""Who may do what: the scopes of a key, and keys as they are listed."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from schemas.base import Resource, UtcDatetime

OWNER_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"


class Scope(StrEnum):
    READ = "read"
    SUBMIT = "submit"
    """Submit, change, retry, extend, import, bring along"""
    CANCEL = "cancel"
    """Cancel and delete"""
    ADMIN = "admin"
    """Everything, of every owner"""


def allows(scopes: Collection[str], needed: Scope) -> bool:
    """Whether a key with these scopes may do what needs this one."""
    return needed in scopes or Scope.ADMIN in scopes


class Key(Resource):
    """A key as it is listed: never what it was shown as."""

    id: str
    owner: str
    scopes: list[Scope]
    created_at: UtcDatetime
    expires_at: UtcDatetime | None
    """null: never"""
    revoked_at: UtcDatetime | None
