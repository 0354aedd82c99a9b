"""Swagger UI, and the script of Plotly from the installed package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import Request
from fastapi.responses import FileResponse, Response

from api.http.problems import ProblemRaised
from api.http.request_work import Router
from api.web.templating import render
from schemas.problems import ProblemCode

router = Router(include_in_schema=False)


@router.get("/docs")
def show_swagger(request: Request) -> Response:
    """Swagger UI, where every call of the API can be tried out."""
    return render(request, "swagger.html")


@router.get("/plotly.min.js")
def read_plotly() -> FileResponse:
    """Plotly's script as its Python package ships it; the package itself is not imported."""
    package = find_spec("plotly")
    folders = list(package.submodule_search_locations or ()) if package else []
    for folder in folders:
        path = Path(folder) / "package_data" / "plotly.min.js"
        if path.is_file():
            return FileResponse(
                path,
                media_type="text/javascript",
                headers={"Cache-Control": "public, max-age=86400"},
            )
    raise ProblemRaised(
        404, ProblemCode.NOT_FOUND, "plotly is not installed; the pages cannot draw curves"
    )
