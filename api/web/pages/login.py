"""The page `/login`: logs a browser in by a key; and the logout."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Query, Request
from fastapi.responses import RedirectResponse, Response

from api.dependencies import StateDep
from api.http.json_body import BodyDep
from api.http.problems import ProblemRaised
from api.http.request_work import Router
from api.http.root_path import root_path_of
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

router = Router(include_in_schema=False)

MAX_ADDRESS = 2_000
"""Longest address to return to, in characters"""
NextQuery = Annotated[str, Query(alias="next", max_length=MAX_ADDRESS)]


@router.get("/login")
def show_login(request: Request, next_address: NextQuery = "/") -> Response:
    """The login page. next: the address to open after the login."""
    return _login_page(request, next_address)


@router.post("/login")
def log_in(request: Request, body: BodyDep, state: StateDep) -> Response:
    """Check the key of the form, set the login's cookie, and redirect to the address `next`."""
    require_own_page(request)
    form = dict(parse_qsl(body.decode("utf-8", "replace")))
    next_address = form.get("next", "/")
    try:
        with state.db.read() as session:
            key = check_key(session, request, form.get("key", "").strip())
            if not allows(scopes_of(key), Scope.READ):
                detail = f"the key {key.id} has no scope `read`, which the pages need"
                raise KeyRefused(403, ProblemCode.FORBIDDEN, detail, key=key)
    except ProblemRaised as refused:
        if isinstance(refused, KeyRefused):
            record_refusal(request, refused)
        return _login_page(request, next_address, refused)
    seconds = state.settings.login_seconds
    with state.db.write() as session:
        delete_login(session, request.cookies.get(COOKIE, ""))
        token = create_login(session, key, timedelta(seconds=seconds))
        record(session, Action.LOGGED_IN, detail=f"from {client_address(request)}", key=key)
    response = RedirectResponse(
        local_address(next_address), 303, headers={"Cache-Control": PRIVATE}
    )
    _set_cookie(response, request, token, int(seconds))
    return response


@router.post("/logout")
def log_out(request: Request, state: StateDep) -> Response:
    """End the browser's login."""
    require_own_page(request)
    with state.db.write() as session:
        key = delete_login(session, request.cookies.get(COOKIE, ""))
        if key is not None:
            record(session, Action.LOGGED_OUT, key=key)
    response = RedirectResponse("/login", 303, headers={"Cache-Control": PRIVATE})
    _set_cookie(response, request, "", 0)
    return response


def local_address(next_address: str) -> str:
    """`next_address` if it is a path of this service, else `/`.

    A browser reads some paths, such as `//host`, as the address of another site.
    """
    is_path = next_address.startswith("/") and not next_address.startswith(("//", "/\\"))
    return (
        next_address
        if is_path and next_address.isprintable() and len(next_address) <= MAX_ADDRESS
        else "/"
    )


def _login_page(
    request: Request, next_address: str, refused: ProblemRaised | None = None
) -> Response:
    page = render(
        request,
        "login.html",
        refused.status if refused else 200,
        navigation=(),
        next_address=local_address(next_address),
        refused=refused.detail if refused else None,
    )
    page.headers.update({"Cache-Control": PRIVATE, **(refused.headers if refused else {})})
    return page


def _set_cookie(response: Response, request: Request, token: str, seconds: int) -> None:
    """Scripts cannot read the cookie; other sites can send it only by a link to this service."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=seconds,
        path=root_path_of(request.scope) or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
