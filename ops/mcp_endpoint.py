"""The endpoint `/mcp`: the client's MCP server inside the API, as a caller of the API.

Each call of a tool becomes requests to the application itself, with the key of the request that
called it. So keys, scopes, rates, quotas and the audit trail are those of every other request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from api.http.added_endpoints import add_endpoint
from api.http.root_path import root_path_of
from api.middleware.authentication import MCP_PATH
from richregime import AsyncClient
from richregime.mcp_server.server import Context, make_server
from runtime.settings import Settings

REPLACED_KEY = "rrk_of_the_caller"
"""The client would take a key from the environment of this process otherwise."""


def add_mcp(app: FastAPI, settings: Settings) -> None:
    """Add the endpoint. It keeps no sessions, so any process of the API serves any request."""

    @asynccontextmanager
    async def open_client(context: Context) -> AsyncIterator[AsyncClient]:
        request = context.request
        assert isinstance(request, Request)
        async with AsyncClient(
            str(request.base_url),
            key=REPLACED_KEY,
            transport=CallerTransport(app, request),
            max_retries=0,
        ) as client:
            yield client

    manager = StreamableHTTPSessionManager(
        make_server(open_client), stateless=True, max_request_body_size=settings.max_body_bytes
    )
    add_endpoint(app, MCP_PATH, manager.handle_request, manager.run)


class CallerTransport(httpx.AsyncBaseTransport):
    """Sends requests to the application as the caller of another request: same key, same address.

    The caller's cookie is left out: it belongs to pages.
    """

    def __init__(self, app: FastAPI, caller: Request) -> None:
        address = (caller.client.host, caller.client.port) if caller.client else ("", 0)
        self._inner = httpx.ASGITransport(app, raise_app_exceptions=False, client=address)
        self._key = caller.headers.get("authorization")
        self._request_id: str = caller.state.request_id
        self._root_path = root_path_of(caller.scope).encode("ascii")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        del request.headers["authorization"]
        if self._key is not None:
            request.headers["authorization"] = self._key
        request.headers["x-request-id"] = self._request_id
        path = request.url.raw_path.removeprefix(self._root_path)
        request.url = request.url.copy_with(raw_path=path)
        return await self._inner.handle_async_request(request)
