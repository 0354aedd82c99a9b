"""The audit trail, for admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api.dependencies import StateDep
from api.http.paging import CursorQuery, LimitQuery
from api.http.request_work import Router
from schemas.audit import Action, AuditEntry
from schemas.base import Page
from storage.access.audit import list_entries, to_resource

router = Router(tags=["service"])


@router.get("/audit")
def list_audit(
    state: StateDep,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
    owner: Annotated[str | None, Query(max_length=64, description="The owner of the key.")] = None,
    action: Annotated[Action | None, Query(description="What was done.")] = None,
    target: Annotated[
        str | None, Query(max_length=64, description="The id of the changed object.")
    ] = None,
) -> Page[AuditEntry]:
    """List who changed what and when, newest first. Entries outlive the objects that they name."""
    with state.db.read() as session:
        rows, following = list_entries(
            session, limit=limit, cursor=cursor, owner=owner, action=action, target=target
        )
    return Page[AuditEntry](items=[to_resource(row) for row in rows], next_cursor=following)
