"""The application: `create_app(settings)`, and `python -m api.app` to serve it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api.dependencies import make_state
from api.http import problems
from api.http.openapi import PROBLEM_RESPONSES, describe
from api.middleware.authentication import Authentication
from api.middleware.request_middleware import RequestMiddleware, is_loopback
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
    plots,
    results,
    runs,
    service,
)
from api.web import guide_routes, login, pages
from runtime import tracing
from runtime.logs import set_up_logging
from runtime.settings import Settings
from runtime.version import SERVICE_VERSION
from storage.access.keys import has_keys
from storage.database.engine import Database

DESCRIPTION = """Experiments with rich-regime training (Li & Banerjee): which parameters of a net move, where they sit,
and training only some layers. POST a body to /experiments, follow /events, read /result and /plots. The pages begin at [/](/), the guide at [/guide](/guide)."""
ROUTES = (
    experiments,
    runs,
    events,
    metrics,
    results,
    imports,
    comparisons,
    plots,
    catalog,
    datasets,
    checkpoints,
    service,
    audit,
    login,
    pages,
    guide_routes,
)


def create_app(settings: Settings) -> FastAPI:
    """The API over one database, blob store and broker; nothing is opened before it starts.

    Raises SchemaOutdated at its start where the database is a shared one whose schema is not this code's.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = make_state(settings)
        state.db.require_schema()
        app.state.richregime = state
        state.wake_ups.start()
        state.reconciler.start()
        state.notifier.start()
        yield
        state.closing.set()
        state.notifier.stop(timeout_seconds=3)  # what it is sending is sent again
        state.reconciler.stop()
        state.wake_ups.stop()
        state.db.dispose()

    app = FastAPIOffline(
        docs_url=None,  # a page of ours, with the same scripts
        title="richregime",
        version=SERVICE_VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        responses=PROBLEM_RESPONSES,
        # Only where this process traces: what else OpenTelemetry would tell, /metrics and the log do.
        telemetry={
            "tracing": tracing.provider() is not None,
            "tracer_provider": tracing.provider(),
            "operation_spans": False,
            "metrics": False,
            "logs": False,
        },
    )
    problems.install(app)
    is_private = is_loopback(settings.host)
    app.add_middleware(Authentication, always_asks=not is_private and not settings.allow_public)
    app.add_middleware(RequestMiddleware, only_loopback=is_private and not settings.allow_public)
    for module in ROUTES:
        app.include_router(module.router)
    pages.mount_assets(app)
    app.openapi = lambda: app.openapi_schema or _remember(app)  # type: ignore[method-assign]
    return app


def _remember(app: FastAPI) -> dict[str, object]:
    app.openapi_schema = describe(app)
    return app.openapi_schema


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal. 2 for an address that others reach while there is no key, unless the settings allow it."""
    settings = Settings()
    parser = argparse.ArgumentParser(prog="richregime api", description=__doc__)
    parser.add_argument("--host", default=settings.host)
    parser.add_argument("--port", type=int, default=settings.port)
    chosen = parser.parse_args(arguments)
    settings = settings.model_copy(update={"host": chosen.host, "port": chosen.port})
    if not is_loopback(settings.host) and not settings.allow_public and not _has_key(settings):
        print(
            f"refusing to listen on {settings.host}: there is no key that the service could ask for. Make one with "
            "`richregime keys create --owner NAME`, listen on 127.0.0.1, or set RICHREGIME_ALLOW_PUBLIC=true behind a "
            "proxy that guards it.",
            file=sys.stderr,
        )
        return 2
    set_up_logging(settings.log_format, "api")
    tracing.start_tracing("api")
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    return 0


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
