"""A reverse proxy that serves the service below a path, and removes that path from each request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.api.api_server import serve

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}
OUTSIDE = "nothing is served outside the path"


@contextmanager
def proxy_below(path: str, service: str, headers: Mapping[str, str]) -> Iterator[str]:
    """Serve `service` below `path`; returns the proxy's address.

    headers: added to each request. Other addresses than those below the path are a 404.
    """
    client = httpx.AsyncClient(timeout=60)

    async def forward(request: Request) -> Response:
        wanted = request.scope["raw_path"].decode()
        if not wanted.startswith(f"{path}/"):
            return PlainTextResponse(OUTSIDE, 404)
        query = f"?{request.url.query}" if request.url.query else ""
        added = {
            "X-Forwarded-For": str(request.client.host if request.client else ""),
            "X-Forwarded-Proto": "http",
            **headers,
        }
        forwarded = client.build_request(
            request.method,
            f"{service}{wanted.removeprefix(path)}{query}",
            headers=[*request.headers.items(), *added.items()],
            content=await request.body(),
        )
        answer = await client.send(forwarded, stream=True)
        response = StreamingResponse(
            answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose)
        )
        response.raw_headers = [
            (name.lower(), value)
            for name, value in answer.headers.raw
            if name.lower().decode() not in HOP_BY_HOP
        ]
        return response

    @asynccontextmanager
    async def close_client(_: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    route = Route("/{path:path}", forward, methods=METHODS)
    with serve(Starlette(routes=[route], lifespan=close_client)) as url:
        yield url
