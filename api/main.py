"""The application: `create_app(settings)`, and `python -m api.main` to serve it."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline

from api import problems
from api.routes import experiments, offer, plots, progress, runs, service
from api.state import make_state
from storage.settings import Settings

DESCRIPTION = """Experiments with rich-regime training (Li & Banerjee): which parameters of a net move, where they sit,
and training only some layers. POST a body to /experiments, follow /events, read /result and /plots."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


def create_app(settings: Settings) -> FastAPI:
    """The API over one database, blob store and broker; nothing is opened before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = make_state(settings)
        app.state.richregime = state
        state.bell.start()
        state.reconciler.start()
        yield
        state.closing.set()
        state.reconciler.stop()
        state.bell.stop()
        state.db.dispose()

    app = FastAPIOffline(
        title="richregime", version=version("richregime"), description=DESCRIPTION, lifespan=lifespan
    )
    problems.install(app)
    app.middleware("http")(_add_headers)
    for module in (experiments, runs, progress, plots, offer, service):
        app.include_router(module.router)
    return app


async def _add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    request.state.request_id = secrets.token_hex(8)
    response = await call_next(request)
    response.headers["X-Request-Id"] = request.state.request_id
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(arguments: list[str] | None = None) -> int:
    settings = Settings()
    parser = argparse.ArgumentParser(prog="richregime api", description=__doc__)
    parser.add_argument("--host", default=settings.host)
    parser.add_argument("--port", type=int, default=settings.port)
    chosen = parser.parse_args(arguments)
    if not is_loopback(chosen.host) and not settings.allow_public:
        print(
            f"refusing to listen on {chosen.host}: the service asks for no key, so anyone who reaches it may use it. "
            "Listen on 127.0.0.1, or set RICHREGIME_ALLOW_PUBLIC=true behind a proxy that guards it.",
            file=sys.stderr,
        )
        return 2
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    uvicorn.run(
        create_app(settings),
        host=chosen.host,
        port=chosen.port,
        log_level="warning",
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
