"""The application: `create_app(settings)`, and `python -m api.app` to serve it."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api.dependencies import make_state
from api.http import problems
from api.http.malformed_requests import http_protocol
from api.http.openapi import PROBLEM_RESPONSES, describe
from api.middleware.authentication import Authentication
from api.middleware.head_requests import HeadRequests
from api.middleware.plain_text_errors import PlainTextErrors
from api.middleware.proxy_headers import ProxyHeaders
from api.middleware.request_middleware import RequestMiddleware, is_loopback
from api.middleware.work_shares import WorkShares
from api.net_host import StoredNets
from api.routes import (
    audit,
    catalog,
    checkpoints,
    comparisons,
    datasets,
    events,
    experiments,
    imports,
    metrics,
    models,
    plots,
    reports,
    results,
    runs,
    service,
)
from api.web import pages
from engine.models.host import set_net_host
from runtime import tracing
from runtime.environment import remove_leftovers
from runtime.home import make_new_files_private
from runtime.logs import set_up_logging
from runtime.settings import Settings, settings_of_command
from runtime.version import SERVICE_VERSION
from storage.access.keys import has_keys
from storage.database.availability import describe_failure
from storage.database.engine import Database, DatabaseError
from storage.errors import StorageError

DESCRIPTION = """Experiments with rich-regime training (Li & Banerjee): which parameters of a net
move, where they are, and training only some layers. POST a body to /experiments, follow /events,
read /result and /plots. The web pages start at [/](.), the guide at [/guide](guide)."""
ROUTES = (
    experiments,
    runs,
    events,
    metrics,
    results,
    reports,
    imports,
    comparisons,
    plots,
    catalog,
    models,
    datasets,
    checkpoints,
    service,
    audit,
    *pages.PAGES,
)


log = logging.getLogger("richregime.api")

OPEN_FILES = 10_240
"""Each connection is one; many systems start processes with 1,024."""
SWITCH_SECONDS = 0.001
"""How long a thread computes while another waits. At Python's default, 0.005, the event loop waits
that long at each of its steps while a request computes."""


def create_app(settings: Settings) -> FastAPI:
    """The API over one database, blob store and broker; nothing is opened before it starts.

    Its start raises SchemaOutdated where a shared database has the schema of other code.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = make_state(settings)
        state.db.require_schema()
        app.state.richregime = state
        set_net_host(StoredNets(state.db))
        state.wake_ups.start()
        state.reconciler.start()
        state.webhook_sender.start()
        yield
        state.closing.set()
        state.webhook_sender.stop(timeout_seconds=3)  # an interrupted delivery is sent again
        state.reconciler.stop()
        state.wake_ups.stop()
        state.db.dispose()

    app = FastAPIOffline(
        docs_url=None,  # `api.web.pages.api_docs` serves Swagger UI
        title="richregime",
        version=SERVICE_VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        responses=PROBLEM_RESPONSES,
        # Traces only, and only where tracing is configured: /metrics and the log have the rest.
        telemetry={
            "tracing": tracing.provider() is not None,
            "tracer_provider": tracing.provider(),
            "operation_spans": False,
            "metrics": False,
            "logs": False,
        },
    )
    problems.install_handlers(app)
    is_private = is_loopback(settings.host)
    app.add_middleware(PlainTextErrors)
    app.add_middleware(HeadRequests)
    app.add_middleware(WorkShares, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(Authentication, always_required=not is_private and not settings.allow_public)
    app.add_middleware(RequestMiddleware, only_loopback=is_private and not settings.allow_public)
    app.add_middleware(ProxyHeaders, root_path=settings.root_path)
    for module in ROUTES:
        app.include_router(module.router)
    pages.mount_assets(app)
    app.openapi = partial(_build_openapi, app)  # type: ignore[method-assign]
    return app


def _build_openapi(app: FastAPI) -> dict[str, object]:
    """The description of the application, built once."""
    if app.openapi_schema is None:
        app.openapi_schema = describe(app)
    return app.openapi_schema


def main(
    arguments: list[str] | None = None, *, extend: Callable[[FastAPI, Settings], None] | None = None
) -> int:
    """Serve until a signal.

    extend: adds endpoints of other packages (`api.http.added_endpoints`). Returns 1 where the
    database cannot be used; 2 for an address that other machines reach while no key exists, unless
    the settings allow it, and for an endpoint that is wanted but not added.
    """
    parser = argparse.ArgumentParser(prog="richregime api", description=__doc__)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    chosen = parser.parse_args(arguments)
    remove_leftovers(os.environ)
    settings = settings_of_command(needs_home=False, host=chosen.host, port=chosen.port)
    if settings.mcp and extend is None:
        print(
            "RICHREGIME_MCP is true, but this program has no endpoint /mcp; start the API by "
            "`richregime api` or `richregime up`",
            file=sys.stderr,
        )
        return 2
    make_new_files_private()
    set_up_logging(settings.log_format, "api")
    try:
        has_key = _has_key(settings)
    except DatabaseError as error:
        log.error(describe_failure(error))
        return 1
    except StorageError as error:
        log.error("%s", error)
        return 1
    if not is_loopback(settings.host) and not settings.allow_public and not has_key:
        print(
            f"refusing to listen on {settings.host}: other machines could use the service without "
            "a key. Make a key with `richregime keys create --owner NAME`, listen on 127.0.0.1, or "
            "set RICHREGIME_ALLOW_PUBLIC=true behind a proxy that authenticates requests.",
            file=sys.stderr,
        )
        return 2
    tracing.start_tracing("api")
    app = create_app(settings)
    if extend is not None:
        extend(app, settings)
    _prepare_process()
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        workers=1,
        http=http_protocol(settings.root_path),
        proxy_headers=False,  # `ProxyHeaders` reads them
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    return 0


def _prepare_process() -> None:
    """Allow many connections, and keep the pauses short that a large request causes to others."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, OPEN_FILES), hard))
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # the objects of the application are not searched for garbage again


def _has_key(settings: Settings) -> bool:
    db = Database(settings.resolved_database_url)
    try:
        db.require_schema()
        with db.read() as session:
            return has_keys(session)
    finally:
        db.dispose()


if __name__ == "__main__":
    sys.exit(main())
