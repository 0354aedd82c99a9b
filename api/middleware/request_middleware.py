"""Outermost middleware: request ids, security headers, host and origin checks, errors."""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
import time

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.background.prometheus import route_of
from api.http.problems import problem_response
from api.http.root_path import service_path_of
from api.middleware.origins import SAFE_METHODS, is_cross_site
from api.middleware.proxy_headers import PREFIX_HEADER, WRONG_PREFIX
from runtime.logs import log_context
from schemas.problems import ProblemCode

log = logging.getLogger("richregime.api")
requests = logging.getLogger("richregime.requests")

REQUEST_ID = "X-Request-Id"
OWN_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
"""A request id of a client or proxy that is safe to log; others are replaced."""

HOST = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::\d*)?", re.ASCII)
"""An IPv6 address in brackets, or a name or IPv4 address; and a port"""
REDOC_PATH = "/redoc"
REDOC_SCRIPTS = " 'unsafe-inline'; worker-src blob:"
"""Its page has a script, and its search makes a worker."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
POLICY = (
    "default-src 'self'; script-src 'self'{redoc}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


class RequestMiddleware:
    """ASGI middleware around every request.

    only_loopback: refuse requests whose Host header is not this machine, so that no page of
    another site reaches the service through a visitor's browser (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, only_loopback: bool) -> None:
        self._app, self._only_loopback = app, only_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        request.state.request_id = request_id = _request_id(request.headers.get(REQUEST_ID, ""))
        with log_context(request_id=request_id):
            await self._respond(request, send)

    async def _respond(self, request: Request, send: Send) -> None:
        scope, receive = request.scope, request.receive
        started = False
        began = time.monotonic()

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _add_headers(MutableHeaders(scope=message), scope)
                _record_request(scope, message["status"], time.monotonic() - began)
            await send(message)

        refused = self._refuse(request)
        if refused is not None:
            status, code, detail = refused
            await problem_response(request, status, code, detail)(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if started:
                raise  # The client sees an incomplete response.
            log.error("request %s failed", scope["state"]["request_id"], exc_info=error)
            detail = "internal error; the service's log has the details under this request id"
            problem = problem_response(request, 500, ProblemCode.INTERNAL, detail)
            await problem(scope, receive, send_with_headers)

    def _refuse(self, request: Request) -> tuple[int, ProblemCode, str] | None:
        scope, headers = request.scope, request.headers
        if b"%00" in scope.get("raw_path", b"") or b"%00" in scope["query_string"]:
            return 400, ProblemCode.INVALID_REQUEST, "the URL holds a NUL character"
        if WRONG_PREFIX in scope["state"]:
            detail = f"the proxy's header {PREFIX_HEADER} is wrong: {scope['state'][WRONG_PREFIX]}"
            return 400, ProblemCode.INVALID_REQUEST, detail
        host = headers.get("host", "")
        if self._only_loopback and host and not is_loopback(_host_name(host)):
            detail = (
                f"this service accepts requests from its own machine only, and the Host header is "
                f"{host[:100]!r}; use 127.0.0.1"
            )
            return 403, ProblemCode.FORBIDDEN, detail
        if scope["method"] not in SAFE_METHODS and is_cross_site(headers):
            return 403, ProblemCode.FORBIDDEN, "a page of another site may not change anything here"
        return None


def _request_id(given: str) -> str:
    """The client's id if it is safe to log, else a new one."""
    return given if OWN_ID.fullmatch(given) else secrets.token_hex(8)


def _record_request(scope: Scope, status: int, seconds: float) -> None:
    """Count and log a request whose response starts. The query is not logged: it may be private."""
    scope["app"].state.richregime.prometheus.record_request(scope, status, seconds)
    fields = {"method": scope["method"], "path": scope["path"], "route": route_of(scope)}
    requests.info("request", extra={**fields, "status": status, "seconds": round(seconds, 4)})


def is_loopback(host: str) -> bool:
    """Whether the host is a loopback name or address, which no other machine can reach.

    Case and the dot at the end of a name do not count; IPv4 addresses may be written as IPv6.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.removesuffix(".").lower() == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _host_name(host: str) -> str:
    """A Host header without the port; empty for a malformed one."""
    found = HOST.fullmatch(host)
    return (found[1] or found[2]) if found else ""


def _add_headers(headers: MutableHeaders, scope: Scope) -> None:
    headers[REQUEST_ID] = scope["state"]["request_id"]
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    redoc = REDOC_SCRIPTS if service_path_of(scope) == REDOC_PATH else ""
    headers.setdefault("Content-Security-Policy", POLICY.format(redoc=redoc))
