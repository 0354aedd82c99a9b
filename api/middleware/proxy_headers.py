"""Reads what a proxy says of a request: the client, the scheme, and the path before the service."""

from __future__ import annotations

import os

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.http.root_path import root_path_of
from runtime.root_path import parse_root_path
from schemas.links import links_below

TRUSTED_VARIABLE = "FORWARDED_ALLOW_IPS"
"""Uvicorn's variable: addresses and networks of trusted proxies, comma-separated, or `*`."""
LOOPBACK = "127.0.0.1,::1"
"""Trusted where the variable is not set, but not with the client's address: a program of this
machine could name another address with each request, and no limit per address would hold it."""
CLIENT_HEADER = b"x-forwarded-for"
PREFIX_HEADER = "X-Forwarded-Prefix"
WRONG_PREFIX = "wrong_prefix"
"""The state of a request with the reason why its prefix is refused."""


class ProxyHeaders:
    """ASGI middleware for `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Prefix`.

    They count only from a trusted address, `X-Forwarded-For` only where the trusted addresses are
    configured. The prefixes of several proxies are joined.
    root_path: the path below which the service is reached, where the proxy names none.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app, self._root_path = app, root_path
        configured = os.environ.get(TRUSTED_VARIABLE, "").strip()
        self._reads_client = bool(configured)
        trusted = configured or LOOPBACK
        self._with_client = ProxyHeadersMiddleware(self._enter, trusted)  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] == "http":
            is_trusted = client is not None and client[0] in self._with_client.trusted_hosts
            scope["root_path"] = self._read_root_path(scope) if is_trusted else self._root_path
            if not self._reads_client:
                headers = scope["headers"]
                scope["headers"] = [one for one in headers if one[0] != CLIENT_HEADER]
        await self._with_client(scope, receive, send)  # type: ignore[arg-type]

    def _read_root_path(self, scope: Scope) -> str:
        values = ",".join(Headers(scope=scope).getlist(PREFIX_HEADER)).split(",")
        prefix = "".join(value.strip().removesuffix("/") for value in values)
        try:
            return parse_root_path(prefix) or self._root_path
        except ValueError as error:
            scope.setdefault("state", {})[WRONG_PREFIX] = str(error)
            return ""

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request with the path that its client sent, before the proxy shortened it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root_path: str = scope["root_path"]
        scope["path"] = root_path + scope["path"]
        scope["raw_path"] = root_path.encode() + scope.get("raw_path", b"")

        async def send_location(message: Message) -> None:
            if message["type"] == "http.response.start":
                _adapt_location(MutableHeaders(scope=message), scope)
            await send(message)

        with links_below(root_path):
            await self._app(scope, receive, send_location)


def _adapt_location(headers: MutableHeaders, scope: Scope) -> None:
    """Make `Location` a path from the root of the host.

    Routes give a path of the service. Starlette gives an address, with a host that the proxy may
    have changed.
    """
    location = headers.get("location")
    if location is None:
        return
    own = str(Request(scope).base_url.replace(path=""))
    if location.startswith("/"):
        headers["location"] = root_path_of(scope) + location
    elif location.startswith(f"{own}/"):
        headers["location"] = location.removeprefix(own)
