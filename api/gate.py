"""Who is let in: the one place where a key is asked for, looked up, and held against what the request needs."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fastapi import Request
from starlette._utils import get_route_path
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import ProblemRaised, answer, answer_busy
from schemas.access import Scope as KeyScope
from schemas.access import allows
from schemas.problems import ProblemCode
from storage.api_keys import find_key, has_keys, scopes_of, why_refused
from storage.db import Database, DatabaseUnavailable, database_now
from storage.logs import also_about

OPEN_TO_ALL = ("/healthz", "/readyz", "/assets/")
"""For probes, which carry no key, and for the looks of a refusal; these tell of nobody's work."""
OPEN_SECONDS = 1.0
"""How long after the first key was made a service that was open may still be."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ADMIN_PATHS = frozenset({"/storage"})
"""These tell of every owner's work."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever has shown a key that holds."""

    key_id: str
    owner: str
    scopes: tuple[KeyScope, ...]


def needed_scope(method: str, path: str) -> KeyScope | None:
    """What a key must have for the request; None where none is asked for. `path` may hold `{parameters}`."""
    if is_open_to_all(path):
        return None
    if path in ADMIN_PATHS:
        return KeyScope.ADMIN
    if method in SAFE_METHODS or path == "/experiments/preview":
        return KeyScope.READ
    if method == "DELETE" or path.endswith("/cancel"):
        return KeyScope.CANCEL
    return KeyScope.SUBMIT


def is_open_to_all(path: str) -> bool:
    return any(path == name or (name.endswith("/") and path.startswith(name)) for name in OPEN_TO_ALL)


class Gate:
    """ASGI middleware. Where no key was ever made the service is open, unless it `always_asks`.

    Whoever is let in stands in the request's state as `caller`; None where nobody is asked.
    """

    def __init__(self, app: ASGIApp, always_asks: bool) -> None:
        self._app = app
        self._asks = always_asks
        self._open_until = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        needed = needed_scope(request.method, get_route_path(scope))
        try:
            caller = None
            if needed is not None and (self._asks or time.monotonic() >= self._open_until):
                caller = await run_in_threadpool(self._admit, request, needed)
        except ProblemRaised as refused:
            refusal = answer(request, refused.status, refused.code, refused.detail, headers=refused.headers)
        except DatabaseUnavailable as error:
            refusal = answer_busy(request, error)
        else:
            request.state.caller = caller
            if caller is not None:
                also_about(key_id=caller.key_id, owner=caller.owner)
            await self._app(scope, receive, send)
            return
        await refusal(scope, receive, send)

    def _admit(self, request: Request, needed: KeyScope) -> Caller | None:
        """Raises a 401 or 403 problem."""
        db: Database = request.app.state.richregime.db
        with db.read() as session:
            if not self._asks:
                self._asks = has_keys(session)
            if not self._asks:
                self._open_until = time.monotonic() + OPEN_SECONDS
                return None
            key = _read_bearer(request)
            row = find_key(session, key)
            if row is None:
                raise _unauthorized("this service does not know the key")
            refused = why_refused(row, database_now(session))
            if refused is not None:
                raise _unauthorized(f"the key {row.id} is {refused}")
        if not allows(scopes_of(row), needed):
            detail = f"the key {row.id} has {row.scopes.replace(' ', ', ')}; this needs the scope {needed}"
            challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
            raise ProblemRaised(403, ProblemCode.FORBIDDEN, detail, headers=challenge)
        return Caller(row.id, row.owner, scopes_of(row))


def _read_bearer(request: Request) -> str:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise _unauthorized(
            "this service asks for a key: `Authorization: Bearer rrk_...`; whoever runs it makes one with "
            "`richregime keys create`",
            challenge="Bearer",
        )
    return key.strip()


def _unauthorized(detail: str, challenge: str = 'Bearer error="invalid_token"') -> ProblemRaised:
    return ProblemRaised(401, ProblemCode.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})
