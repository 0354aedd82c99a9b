"""The API's description as YAML: `python -m api.http.openapi`."""

from __future__ import annotations

import sys
from typing import Any

import yaml
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from api.http.request_bodies import REFERENCE, body_schemas
from api.http.result_schemas import RESULT_PATH, any_result_schema, result_schemas
from api.middleware.authentication import required_scope
from schemas.problems import PROBLEM_MEDIA_TYPE, Problem
from schemas.webhooks import WebhookEvent, WebhookPayload

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "The errors in the request, all fields at once",
        "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": REFERENCE.format(model="Problem")}}},
    },
    "5XX": {
        "description": "The service cannot respond now",
        "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": REFERENCE.format(model="Problem")}}},
    },
}
"""Responses of every route"""
SECURITY_SCHEMES: dict[str, Any] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "rrk_<id>_<43 characters>",
        "description": "A key made by `richregime keys create`, with the scope that the operation "
        "names. A service on a loopback address that has never had a key requires none.",
    }
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole description (OpenAPI 3.1)."""
    found = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
        webhooks=_describe_webhooks().routes,
    )
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template=REFERENCE)
    added = {**body_schemas(), **result_schemas(), **problem.pop("$defs"), "Problem": problem}
    for name, schema in added.items():
        schemas.setdefault(name, schema)
    success = found["paths"][RESULT_PATH]["get"]["responses"]["200"]
    success["content"]["application/json"]["schema"] = any_result_schema()
    found["components"]["schemas"] = dict(sorted(schemas.items()))
    found["components"]["securitySchemes"] = SECURITY_SCHEMES
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            scope = required_scope(method.upper(), path)
            operation["security"] = [{}] if scope is None else [{"key": [scope.value]}, {}]
    return found


def _describe_webhooks() -> APIRouter:
    """The webhooks that the service sends; see `api.background.webhook_sender`."""
    webhooks = APIRouter()

    def receive(payload: WebhookPayload) -> None:
        """Sent to an experiment's `webhook` when the experiment ends.

        Signed as Standard Webhooks defines, in the headers `webhook-id`, `webhook-timestamp` and
        `webhook-signature`.
        """

    for name in WebhookEvent:
        webhooks.add_api_route(
            *(name, receive),
            methods=["POST"],
            summary=name,
            status_code=204,
            response_description="Received, as any 2xx",
            responses={
                "default": {"description": "The delivery is sent again later with the same id"}
            },
        )
    return webhooks


def openapi_yaml() -> str:
    """The text of `openapi.yaml`; a test fails where they differ."""
    from api.app import create_app
    from runtime.settings import Settings

    text: str = yaml.safe_dump(
        create_app(Settings()).openapi(), sort_keys=False, allow_unicode=True, width=120
    )
    return text


if __name__ == "__main__":
    sys.stdout.write(openapi_yaml())
