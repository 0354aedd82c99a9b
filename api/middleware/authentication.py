"""Authenticates each request by an API key or a login, and checks the key's scopes."""

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

from api.http.negotiation import VARY, wants_page
from api.http.problems import ProblemRaised, database_unavailable_response, problem_response
from api.http.root_path import root_path_of
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

PUBLIC_PATHS = ("/healthz", "/readyz", "/assets/", "/login", "/logout")
"""Need no key: health probes, the style sheets of error pages, and logging in."""
MAX_ADDRESS = 64
"""Characters; a proxy may pass on any text as an address."""
KEY_CHECK_SECONDS = 1.0
"""How often a service without keys looks for its first key."""
ADMIN_PATHS = frozenset({"/storage", "/audit"})
"""These show the data of all owners."""
MCP_PATH = "/mcp"
"""The endpoint of assistants, where it is added. It changes nothing: each call that it makes is a
request of its own, with the same key and the scope that this request needs."""
READING_POSTS = frozenset({"/experiments/preview", MCP_PATH})
UPLOAD_PATHS = ("/datasets/", "/checkpoints/")
"""Who may upload files may delete them."""
COOKIE = "richregime_login"
PRIVATE = "private, no-store"
"""Cache-Control of responses to a login: the browser must not keep them."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The valid key of a request."""

    key_id: str
    owner: str
    scopes: tuple[KeyScope, ...]
    login: str | None = None
    """Hash of the login's token; None where the request carries the key itself."""


def required_scope(method: str, path: str) -> KeyScope | None:
    """The scope that the request requires; None for a public path. `path` may be a template."""
    if is_public_path(path):
        return None
    if path in ADMIN_PATHS or (method not in SAFE_METHODS and path.startswith("/workers/")):
        return KeyScope.ADMIN
    if method in SAFE_METHODS or path in READING_POSTS:
        return KeyScope.READ
    if path.startswith(UPLOAD_PATHS):
        return KeyScope.SUBMIT
    if method == "DELETE" or path.endswith("/cancel") or path == "/experiments/delete":
        return KeyScope.CANCEL
    return KeyScope.SUBMIT


def is_public_path(path: str) -> bool:
    return any(
        path == name or (name.endswith("/") and path.startswith(name)) for name in PUBLIC_PATHS
    )


class KeyRefused(ProblemRaised):
    """The request's key is invalid or lacks the scope. key: its row, if the key is known."""

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
    """ASGI middleware that sets `request.state.identity`.

    The identity is None for public paths, and where the service requires no key: it does so from
    the first key on, and without any key if `always_required`.
    """

    def __init__(self, app: ASGIApp, always_required: bool) -> None:
        self._app = app
        self._requires_key = always_required
        self._next_check = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        request.state.identity, request.state.rate = None, {}
        scope_needed = required_scope(request.method, get_route_path(scope))
        is_checked = self._requires_key or time.monotonic() >= self._next_check
        try:
            if scope_needed is not None and is_checked:
                await run_in_threadpool(self._authenticate, request, scope_needed)
        except ProblemRaised as refused:
            refusal = _redirect_to_login(request) if refused.status == 401 else None
            refusal = refusal or problem_response(
                request, refused.status, refused.code, refused.detail, headers=refused.headers
            )
        except DatabaseUnavailable as error:
            refusal = database_unavailable_response(request, error)
        else:
            identity = request.state.identity
            if identity is not None:
                add_log_context(key_id=identity.key_id, owner=identity.owner)
            await self._app(scope, receive, _adding_headers(request, send))
            return
        await refusal(scope, receive, send)

    def _authenticate(self, request: Request, needed: KeyScope) -> None:
        """Raises a 401, 403 or 429 problem."""
        state: State = request.app.state.richregime
        try:
            with state.db.read() as session:
                if not self._requires_key:
                    self._requires_key = has_keys(session)
                if not self._requires_key:
                    self._next_check = time.monotonic() + KEY_CHECK_SECONDS
                    return
                _identify(session, request, needed)
        except KeyRefused as refused:
            record_refusal(request, refused)
            raise


def _identify(session: Session, request: Request, needed: KeyScope) -> None:
    """Set the identity by the key or the login's cookie. Raises a 401, 403 or 429 problem."""
    token = request.cookies.get(COOKIE) if "authorization" not in request.headers else None
    if token is not None:
        found = find_login(session, token)
        if found is None:
            raise _unauthorized(
                "this browser is logged out, or its key is revoked; log in at /login"
            )
        login, key = found
        identity = Identity(key.id, key.owner, scopes_of(key), login.sha256)
    else:
        key = check_key(session, request, _read_bearer(request))
        identity = Identity(key.id, key.owner, scopes_of(key))
    request.state.identity = identity
    if not allows(identity.scopes, needed):
        held = ", ".join(identity.scopes)
        detail = f"the key {identity.key_id} has the scopes {held}; this needs {needed}"
        challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
        raise KeyRefused(403, ProblemCode.FORBIDDEN, detail, challenge, key=key)
    state: State = request.app.state.richregime
    rate = state.writes if needed in (KeyScope.SUBMIT, KeyScope.CANCEL) else state.reads
    request.state.rate = rate.require(key.id, f"requests with the key {key.id}")
    state.cpu.require_left(key.id)
    if token is not None and request.method not in SAFE_METHODS:
        require_own_page(request)


def check_key(session: Session, request: Request, key: str) -> ApiKeyRow:
    """The row of a valid key.

    Raises a 401 problem for an invalid key, and a 429 problem for too many of these from one
    address. A valid key is never limited by the invalid ones from its address.
    """
    row = find_key(session, key)
    refused = None if row is None else why_refused(row, database_now(session))
    if row is not None and refused is None:
        return row
    state: State = request.app.state.richregime
    state.failed_keys.require(client_address(request), "invalid keys from this address")
    detail = (
        "this service does not know the key" if row is None else f"the key {row.id} is {refused}"
    )
    challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    raise KeyRefused(401, ProblemCode.UNAUTHORIZED, detail, challenge, key=row)


def client_address(request: Request) -> str:
    """The client's address, or the one that a trusted proxy names; empty if unknown."""
    return request.client.host[:MAX_ADDRESS] if request.client else ""


def record_refusal(request: Request, refused: KeyRefused) -> None:
    """Record a refused key in the audit trail.

    Invalid keys are limited per address already; refusals for a missing scope are recorded up to
    a limit per key. Requests without a key are not recorded.
    """
    state: State = request.app.state.richregime
    if (
        refused.status == 403
        and not state.recorded_refusals.count(refused.key.id if refused.key else "").granted
    ):
        return
    what = f"{refused.status} {request.method} {request.url.path[:120]}"
    with state.db.for_viewer(None, request.state.request_id).write() as session:
        record(
            session,
            Action.REFUSED,
            detail=f"{what} from {client_address(request)}",
            key=refused.key,
        )


def require_own_page(request: Request) -> None:
    """Raises a 403 problem unless a page of this service sends the request.

    Requests of other sites' pages carry the login's cookie too, but cannot fake these headers.
    """
    if not is_own_page(request.headers):
        detail = (
            "with a login, only a page of this service may change anything; "
            "a program sends its key instead"
        )
        raise ProblemRaised(403, ProblemCode.FORBIDDEN, detail)


def _read_bearer(request: Request) -> str:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise _unauthorized(
            "this service requires a key: `Authorization: Bearer rrk_...`; its operator makes one "
            "with `richregime keys create`"
        )
    return key.strip()


def _unauthorized(detail: str) -> ProblemRaised:
    return ProblemRaised(
        401, ProblemCode.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"}
    )


def _redirect_to_login(request: Request) -> Response | None:
    """A redirect to the login page, which leads back, where a browser navigates to a page."""
    is_page = request.method in ("GET", "HEAD") and wants_page(request.headers.get("accept"))
    if not is_page or "authorization" in request.headers:
        return None
    path = request.url.path.removeprefix(root_path_of(request.scope))
    wanted = path + (f"?{request.url.query}" if request.url.query else "")
    query = "" if wanted == "/" else f"?{urlencode({'next': wanted})}"
    return RedirectResponse(f"/login{query}", 303, headers={"Cache-Control": PRIVATE, **VARY})


def _adding_headers(request: Request, send: Send) -> Send:
    """Adds the rate limit's headers, and for a login a private Cache-Control."""
    identity: Identity | None = request.state.identity
    if identity is None:
        return send

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(request.state.rate)
            if identity.login is not None:
                headers.setdefault("Cache-Control", PRIVATE)
        await send(message)

    return send_with_headers
