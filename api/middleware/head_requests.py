"""Answers HEAD wherever GET is defined: as GET would, but without the body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _HeadersSent(Exception):
    """Ends the route of a HEAD request before it makes a body."""


class HeadRequests:
    """ASGI middleware that passes HEAD on as GET, and ends the request after its headers.

    So an event stream does not follow, and an export does not draw.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        passed_on = {**scope, "method": "GET"}

        async def send_headers(message: Message) -> None:
            scope.update(route=passed_on.get("route"))  # for the metrics of requests
            await send(message)
            raise _HeadersSent

        try:
            await self._app(passed_on, receive, send_headers)
        except _HeadersSent:
            await send({"type": "http.response.body", "body": b""})
