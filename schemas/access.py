"""Owners, and the scopes of a key."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

OWNER_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"


class Scope(StrEnum):
    READ = "read"
    SUBMIT = "submit"
    """Submit, update, retry, extend, import; upload and delete data sets and checkpoints"""
    CANCEL = "cancel"
    """Cancel and delete experiments"""
    ADMIN = "admin"
    """Everything, for every owner"""


def allows(scopes: Collection[str], needed: Scope) -> bool:
    """Whether a key with these scopes has the needed one."""
    return needed in scopes or Scope.ADMIN in scopes
