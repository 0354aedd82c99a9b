"""Logging a browser in by a key, and out."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from api.dependencies import StateDep
from api.http.json_body import BodyDep
from api.http.problems import ProblemRaised
from api.middleware.authentication import (
    COOKIE,
    PRIVATE,
    KeyRefused,
    check_key,
    client_address,
    record_refusal,
    require_own_page,
)
from api.web.templating import render
from schemas.access import Scope, allows
from schemas.audit import Action
from schemas.problems import ProblemCode
from storage.access.audit import record
from storage.access.keys import scopes_of
from storage.access.logins import create_login, delete_login

router = APIRouter(include_in_schema=False)

MAX_ADDRESS = 2_000
NextQuery = Annotated[str, Query(alias="next", max_length=MAX_ADDRESS)]


@router.get("/login")
def show_login(request: Request, wanted: NextQuery = "/") -> Response:
    """The page on which a key is shown."""
    return _login_page(request, wanted)


@router.post("/login")
def log_in(request: Request, body: BodyDep, state: StateDep) -> Response:
    """Take a key from the page's form, give the browser a cookie, and lead it to where it was going."""
    require_own_page(request)
    form = dict(parse_qsl(body.decode("utf-8", "replace")))
    wanted = form.get("next", "/")
    try:
        with state.db.read() as session:
            key = check_key(session, request, form.get("key", "").strip())
            if not allows(scopes_of(key), Scope.READ):
                detail = f"the key {key.id} has no scope `read`, which the pages need"
                raise KeyRefused(403, ProblemCode.FORBIDDEN, detail, key=key)
    except ProblemRaised as refused:
        if isinstance(refused, KeyRefused):
            record_refusal(request, refused)
        return _login_page(request, wanted, refused)
    seconds = state.settings.login_seconds
    with state.db.write() as session:
        delete_login(session, request.cookies.get(COOKIE, ""))
        token = create_login(session, key, timedelta(seconds=seconds))
        record(session, Action.LOGGED_IN, detail=f"from {client_address(request)}", key=key)
    leading = RedirectResponse(local_address(wanted), 303, headers={"Cache-Control": PRIVATE})
    _set_cookie(leading, request, token, int(seconds))
    return leading


@router.post("/logout")
def log_out(request: Request, state: StateDep) -> Response:
    """End the browser's login."""
    require_own_page(request)
    with state.db.write() as session:
        key = delete_login(session, request.cookies.get(COOKIE, ""))
        if key is not None:
            record(session, Action.LOGGED_OUT, key=key)
    leading = RedirectResponse("/login", 303, headers={"Cache-Control": PRIVATE})
    _set_cookie(leading, request, "", 0)
    return leading


def local_address(wanted: str) -> str:
    """`wanted` where it is a path of this service; `/` for whatever a browser could read as another site's address."""
    is_path = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if is_path and wanted.isprintable() and len(wanted) <= MAX_ADDRESS else "/"


def _login_page(request: Request, wanted: str, refused: ProblemRaised | None = None) -> Response:
    page = render(
        request,
        "login.html",
        refused.status if refused else 200,
        navigation=(),
        wanted=local_address(wanted),
        refused=refused.detail if refused else None,
    )
    page.headers.update({"Cache-Control": PRIVATE, **(refused.headers if refused else {})})
    return page


def _set_cookie(response: Response, request: Request, token: str, seconds: int) -> None:
    """No script reads it, and no other site's page has it sent but by leading here."""
    is_safe = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, token, max_age=seconds, path="/", secure=is_safe, httponly=True, samesite="lax"
    )
