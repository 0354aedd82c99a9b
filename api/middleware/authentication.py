"""Who is let in: the one place where a key is asked for, looked up, and held against what the request needs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette._utils import get_route_path
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import ProblemRaised, answer, answer_busy
from api.middleware.origins import SAFE_METHODS, is_own_page
from runtime.logs import add_log_context
from schemas.access import Scope as KeyScope
from schemas.access import allows
from schemas.audit import Action
from schemas.problems import ProblemCode
from storage.access.audit import record
from storage.access.keys import find_key, has_keys, scopes_of, why_refused
from storage.access.logins import find_login
from storage.database.engine import DatabaseUnavailable, Session, database_now
from storage.database.tables import ApiKeyRow

if TYPE_CHECKING:
    from api.dependencies import State

OPEN_TO_ALL = ("/healthz", "/readyz", "/assets/", "/login", "/logout")
"""For probes, which carry no key, for the looks of a refusal, and for whoever has yet to show a key; these tell of
nobody's work."""
OPEN_SECONDS = 1.0
"""How long after the first key was made a service that was open may still be."""
ADMIN_PATHS = frozenset({"/storage", "/audit"})
"""These tell of every owner's work."""
COOKIE = "richregime_login"
PRIVATE = "private, no-store"
"""What a browser was shown by its login nobody finds in it afterwards."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever has shown a key that holds."""

    key_id: str
    owner: str
    scopes: tuple[KeyScope, ...]
    login: str | None = None
    """Hash of the login, where the key was shown by one"""


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
    return any(
        path == name or (name.endswith("/") and path.startswith(name)) for name in OPEN_TO_ALL
    )


class KeyRefused(ProblemRaised):
    """A key was shown that does not hold, or has not the scope. `key`: its row, where it is known."""

    def __init__(
        self,
        status: int,
        code: ProblemCode,
        detail: str,
        headers: Mapping[str, str] | None = None,
        *,
        key: ApiKeyRow | None,
    ) -> None:
        super().__init__(status, code, detail, headers=headers)
        self.key = key


class Authentication:
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
        request.state.caller, request.state.rate = None, {}
        needed = needed_scope(request.method, get_route_path(scope))
        try:
            if needed is not None and (self._asks or time.monotonic() >= self._open_until):
                await run_in_threadpool(self._admit, request, needed)
        except ProblemRaised as refused:
            refusal = _lead_to_login(request) if refused.status == 401 else None
            refusal = refusal or answer(
                request, refused.status, refused.code, refused.detail, headers=refused.headers
            )
        except DatabaseUnavailable as error:
            refusal = answer_busy(request, error)
        else:
            caller = request.state.caller
            if caller is not None:
                add_log_context(key_id=caller.key_id, owner=caller.owner)
            await self._app(scope, receive, _adding_headers(request, send))
            return
        await refusal(scope, receive, send)

    def _admit(self, request: Request, needed: KeyScope) -> None:
        """Raises a 401, 403 or 429 problem."""
        state: State = request.app.state.richregime
        try:
            with state.db.read() as session:
                if not self._asks:
                    self._asks = has_keys(session)
                if not self._asks:
                    self._open_until = time.monotonic() + OPEN_SECONDS
                    return
                _find_caller(session, request, needed)
        except KeyRefused as refused:
            note_refusal(request, refused)
            raise


def _find_caller(session: Session, request: Request, needed: KeyScope) -> None:
    """Whoever shows a key, or the cookie of a login. Raises a 401, 403 or 429 problem."""
    token = request.cookies.get(COOKIE) if "authorization" not in request.headers else None
    if token is not None:
        found = find_login(session, token)
        if found is None:
            raise _unauthorized(
                "this browser is logged out, or its key is revoked; log in at /login"
            )
        login, key = found
        caller = Caller(key.id, key.owner, scopes_of(key), login.sha256)
    else:
        key = check_key(session, request, _read_bearer(request))
        caller = Caller(key.id, key.owner, scopes_of(key))
    request.state.caller = caller
    if not allows(caller.scopes, needed):
        held = ", ".join(caller.scopes)
        detail = f"the key {caller.key_id} has {held}; this needs the scope {needed}"
        challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
        raise KeyRefused(403, ProblemCode.FORBIDDEN, detail, challenge, key=key)
    state: State = request.app.state.richregime
    rate = state.writes if needed in (KeyScope.SUBMIT, KeyScope.CANCEL) else state.reads
    request.state.rate = rate.require(key.id, f"requests with the key {key.id}")
    if token is not None and request.method not in SAFE_METHODS:
        require_own_page(request)


def check_key(session: Session, request: Request, key: str) -> ApiKeyRow:
    """The key's row. Raises a 401 problem where it does not hold, and a 429 problem instead of too many of these.

    A key that holds is always let in: whoever tries keys locks nobody else out behind the same address.
    """
    row = find_key(session, key)
    refused = None if row is None else why_refused(row, database_now(session))
    if row is not None and refused is None:
        return row
    state: State = request.app.state.richregime
    state.failed_keys.require(
        address_of(request), "keys that do not hold were shown from this address"
    )
    detail = (
        "this service does not know the key" if row is None else f"the key {row.id} is {refused}"
    )
    challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    raise KeyRefused(401, ProblemCode.UNAUTHORIZED, detail, challenge, key=row)


def address_of(request: Request) -> str:
    """The client's, or that which a proxy on this machine names; empty where none is known."""
    return request.client.host if request.client else ""


def note_refusal(request: Request, refused: KeyRefused) -> None:
    """Record it. Keys that do not hold are few, as they are counted by address; of those without the scope a few a
    minute of each key are recorded. Whoever shows none is not."""
    state: State = request.app.state.richregime
    if (
        refused.status == 403
        and not state.refusals.take(refused.key.id if refused.key else "").granted
    ):
        return
    asked = f"{refused.status} {request.method} {request.url.path[:120]}"
    with state.db.for_viewer(None, request.state.request_id).write() as session:
        record(
            session, Action.REFUSED, detail=f"{asked} from {address_of(request)}", key=refused.key
        )


def require_own_page(request: Request) -> None:
    """Raises a 403 problem where a browser does not say that a page of this service sends the request: another site's
    page, whose requests carry the cookie too, cannot say so."""
    if not is_own_page(request.headers):
        detail = "with a login, only a page of this service may change anything; a program shows its key instead"
        raise ProblemRaised(403, ProblemCode.FORBIDDEN, detail)


def _read_bearer(request: Request) -> str:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise _unauthorized(
            "this service asks for a key: `Authorization: Bearer rrk_...`; whoever runs it makes one with "
            "`richregime keys create`"
        )
    return key.strip()


def _unauthorized(detail: str) -> ProblemRaised:
    return ProblemRaised(
        401, ProblemCode.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"}
    )


def _lead_to_login(request: Request) -> Response | None:
    """For a browser that was sent to a page: the page on which a key is shown, and from there back."""
    is_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if not is_page or "authorization" in request.headers:
        return None
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    query = "" if wanted == "/" else f"?{urlencode({'next': wanted})}"
    return RedirectResponse(f"/login{query}", 303, headers={"Cache-Control": PRIVATE})


def _adding_headers(request: Request, send: Send) -> Send:
    """What is left of the key's rate; and what was shown by a login is kept private."""
    caller: Caller | None = request.state.caller
    if caller is None:
        return send

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(request.state.rate)
            if caller.login is not None:
                headers.setdefault("Cache-Control", PRIVATE)
        await send(message)

    return send_with_headers
