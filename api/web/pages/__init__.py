"""The web pages, one module per page."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from api.web.pages import (
    api_docs,
    compare,
    datasets,
    experiment,
    experiments,
    guide,
    login,
    queue,
    run,
    schemas,
    submit,
    uploads,
)
from api.web.templating import WEB

PAGES = (
    login,
    experiments,
    experiment,
    run,
    compare,
    submit,
    queue,
    datasets,
    uploads,
    guide,
    schemas,
    api_docs,
)
"""Each has the attribute `router`."""


def mount_assets(app: FastAPI) -> None:
    """Serve the scripts and styles of the pages under /assets."""
    app.mount("/assets", StaticFiles(directory=WEB / "assets"), name="assets")
