"""Endpoints that other packages add to the application, such as `/mcp`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send


class _Endpoint:
    """An ASGI application as the endpoint of a route, which takes a function for a view."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def add_endpoint(
    app: FastAPI,
    path: str,
    endpoint: ASGIApp,
    running: Callable[[], AbstractAsyncContextManager[None]],
) -> None:
    """Serve POST requests to `path` by `endpoint`, inside all middleware of the application.

    running: entered when the application starts, left when it ends.
    """
    app.router.routes.append(Route(path, _Endpoint(endpoint), methods=["POST"]))
    own_lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running_app: Any) -> AsyncIterator[Any]:
        async with own_lifespan(running_app) as state, running():
            yield state

    app.router.lifespan_context = lifespan
