"""The documents `/schemas/...`: JSON Schemas for editors."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from api.http.request_work import Router
from api.http.submission_schema import make_submission_schema

router = Router(include_in_schema=False)


class SchemaResponse(JSONResponse):
    media_type = "application/schema+json"


@router.get("/schemas/submission.json", response_class=SchemaResponse)
def get_submission_schema(request: Request) -> Any:
    """The JSON Schema of a body of `POST /experiments`."""
    return SchemaResponse(make_submission_schema(request.app.openapi()))
