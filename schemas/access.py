"""Who may do what: owners, and the scopes of a key."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

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
