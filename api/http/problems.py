"""Returns every error as an RFC 9457 problem."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.http.negotiation import VARY, wants_page
from api.http.root_path import root_path_of, service_path_of
from api.web.templating import render_problem
from engine.errors import FieldError, InvalidSpec
from runtime.logs import hide_secrets
from schemas.problems import PROBLEM_MEDIA_TYPE, Problem, ProblemCode, ProblemError
from storage.database.engine import DatabaseUnavailable
from storage.errors import (
    CorruptBlob,
    InvalidCursor,
    InvalidTransition,
    KeyTaken,
    NotFound,
    StorageFull,
    StorageUnavailable,
    UnreadableRow,
)

log = logging.getLogger("richregime.api")

TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    413: "Content too large",
    415: "Unsupported media type",
    416: "Range not satisfiable",
    422: "Unprocessable content",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
    507: "Storage full",
}
ERRORS_PAGE = "errors"
"""The page of the guide that has a section for each code"""
CODES = {
    400: ProblemCode.INVALID_REQUEST,
    404: ProblemCode.NOT_FOUND,
    405: ProblemCode.METHOD_NOT_ALLOWED,
    408: ProblemCode.INVALID_REQUEST,
    413: ProblemCode.PAYLOAD_TOO_LARGE,
    415: ProblemCode.UNSUPPORTED_MEDIA_TYPE,
    416: ProblemCode.INVALID_REQUEST,
    422: ProblemCode.INVALID_REQUEST,
    429: ProblemCode.RATE_LIMITED,
    503: ProblemCode.UNAVAILABLE,
}


def problem_type(code: ProblemCode, root_path: str) -> str:
    """The address of the section of the guide that explains the code, below `root_path`."""
    return f"{root_path}/guide/{ERRORS_PAGE}#{code}"


class ProblemRaised(Exception):
    """An error with the problem response that it becomes."""

    def __init__(
        self,
        status: int,
        code: ProblemCode,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.headers = tuple(errors), dict(headers or {})


def problem_response(
    request: Request,
    status: int,
    code: ProblemCode,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem as a response: JSON, or a page where the client wants HTML most.

    A secret that the client sent in a wrong place, such as a path, is not repeated.
    """
    problem = Problem(
        type=problem_type(code, root_path_of(request.scope)),
        title=TITLES.get(status, "Error"),
        status=status,
        code=code,
        detail=hide_secrets(detail),
        instance=hide_secrets(request.url.path),
        request_id=getattr(request.state, "request_id", None),
        errors=[
            ProblemError(
                pointer=hide_secrets(one.pointer), code=one.code, detail=hide_secrets(one.detail)
            )
            for one in errors
        ]
        or None,
    )
    headers = {**(headers or {}), **VARY}
    if wants_page(request.headers.get("accept")):
        return render_problem(request, problem, headers)
    return JSONResponse(
        problem.model_dump(mode="json", exclude_none=True),
        status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


def storage_full_response(request: Request, error: Exception) -> Response:
    """The problem of a full disk."""
    log.error("request %s: %s", request.state.request_id, error)
    return problem_response(
        request, 507, ProblemCode.STORAGE_FULL, str(error), headers={"Retry-After": "60"}
    )


def database_unavailable_response(request: Request, error: Exception) -> Response:
    """The problem of a database that does not respond, or whose disk is full."""
    log.error("the database did not answer", exc_info=error)
    if "disk is full" in str(error):
        return storage_full_response(request, StorageFull())
    return problem_response(
        request,
        503,
        ProblemCode.UNAVAILABLE,
        "the database does not answer; try again",
        headers={"Retry-After": "5"},
    )


def install_handlers(app: FastAPI) -> None:
    """Return every expected error of the service, the framework and the storage as a problem.

    `api.middleware.request_middleware` does so for unexpected errors.
    """

    def on_raised(request: Request, error: Any) -> Response:
        return problem_response(
            request, error.status, error.code, error.detail, error.errors, error.headers
        )

    def on_invalid_spec(request: Request, error: Any) -> Response:
        count = len(error.errors)
        detail = f"{count} field{'s are' if count != 1 else ' is'} wrong; see errors"
        return problem_response(request, 422, ProblemCode.INVALID_SPEC, detail, error.errors)

    def on_parameters(request: Request, error: Any) -> Response:
        errors = [
            FieldError(
                "#/" + "/".join(str(part) for part in one["loc"]), str(one["type"]), str(one["msg"])
            )
            for one in error.errors()
        ]
        return problem_response(
            request, 422, ProblemCode.INVALID_REQUEST, "a parameter is wrong; see errors", errors
        )

    def on_http(request: Request, error: Any) -> Response:
        code = CODES.get(error.status_code, ProblemCode.INVALID_REQUEST)
        detail, headers = str(error.detail), error.headers
        if error.status_code == 405:
            headers = {"Allow": ", ".join(_allowed_methods(request)) or headers["Allow"]}
            detail = f"the method {request.method} is not allowed for {request.url.path[:200]}"
        if error.status_code == 404 and detail == "Not Found":
            detail = f"there is nothing at {request.url.path[:200]}"
            root_path = root_path_of(request.scope)
            if root_path and service_path_of(request.scope).startswith(f"{root_path}/"):
                detail += f"; the proxy must remove {root_path} from the path of each request"
        return problem_response(request, error.status_code, code, detail, headers=headers)

    def on_unreadable(request: Request, error: Exception) -> Response:
        log.error("request %s: %s", request.state.request_id, error)
        return problem_response(request, 500, ProblemCode.UNREADABLE, str(error))

    def storage(status: int, code: ProblemCode, headers: Mapping[str, str] | None = None) -> Any:
        return lambda request, error: problem_response(
            request, status, code, str(error), headers=headers
        )

    app.add_exception_handler(ProblemRaised, on_raised)
    app.add_exception_handler(InvalidSpec, on_invalid_spec)
    app.add_exception_handler(RequestValidationError, on_parameters)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(NotFound, storage(404, ProblemCode.NOT_FOUND))
    app.add_exception_handler(InvalidTransition, storage(409, ProblemCode.INVALID_TRANSITION))
    app.add_exception_handler(InvalidCursor, storage(422, ProblemCode.INVALID_REQUEST))
    app.add_exception_handler(
        KeyTaken, storage(409, ProblemCode.IDEMPOTENCY_IN_PROGRESS, {"Retry-After": "1"})
    )
    app.add_exception_handler(StorageFull, storage_full_response)
    app.add_exception_handler(
        StorageUnavailable, storage(503, ProblemCode.UNAVAILABLE, {"Retry-After": "30"})
    )
    app.add_exception_handler(CorruptBlob, storage(500, ProblemCode.INTERNAL))
    app.add_exception_handler(UnreadableRow, on_unreadable)
    app.add_exception_handler(DatabaseUnavailable, database_unavailable_response)


def _allowed_methods(request: Request) -> list[str]:
    """The methods of all routes that match the path; FastAPI itself names those of one route only.

    Where a route without parameters matches, routes with parameters do not count. Empty for files.
    """
    scope = {**request.scope, "root_path": root_path_of(request.scope)}
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for part in request.app.routes:
        router = getattr(part, "original_router", None)
        for route in router.routes if router is not None else [part]:
            if route.matches(scope)[0] is not Match.NONE:
                is_own = getattr(route, "path", None) == service_path_of(scope)
                found[is_own] |= getattr(route, "methods", None) or set()
    allowed = found[True] or found[False]
    return sorted(allowed | {"HEAD"} if "GET" in allowed else allowed)
