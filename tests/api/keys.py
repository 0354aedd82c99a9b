"""API keys for tests, and requests with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx

from schemas.access import Scope
from storage.access.keys import create_key
from storage.database.engine import Database
from tests.api.api_server import ApiServer


def make_key(db: Database, *scopes: Scope, owner: str = "ada", seconds: float | None = None) -> str:
    """A new key; with all scopes where none is named."""
    lifetime = timedelta(seconds=seconds) if seconds is not None else None
    with db.write() as session:
        return create_key(session, owner=owner, scopes=scopes or tuple(Scope), lifetime=lifetime)[1]


def request_with_key(
    api_server: ApiServer,
    key: str | None,
    method: str = "GET",
    path: str = "/experiments",
    **more: Any,
) -> httpx.Response:
    shown = {} if key is None else {"Authorization": f"Bearer {key}"}
    return api_server.http.request(
        method, path, headers={**shown, **more.pop("headers", {})}, **more
    )
