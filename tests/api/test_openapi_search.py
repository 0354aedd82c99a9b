"""Searches for server errors with requests generated from the OpenAPI description."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error

from api.app import create_app
from runtime.settings import Settings
from tests.api.api_server import ApiServer

pytestmark = pytest.mark.usefixtures("denormals")

description = schemathesis.openapi.from_dict(
    create_app(Settings(database_url=None, broker_url=None)).openapi()
)


@schemathesis.serializer("application/zip")
def send_unchanged(context: schemathesis.SerializationContext, value: Any) -> Any:
    """A zip archive is any bytes, valid or not."""
    return value


CALLED = description.exclude(path_regex="/(events|export)$")
BOUNDS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


@CALLED.parametrize()
@settings(max_examples=12, derandomize=True, **BOUNDS)
def test_no_request_causes_a_server_error(
    api_server: ApiServer, case: schemathesis.Case[Any]
) -> None:
    check(api_server, case)


@pytest.mark.slow
@CALLED.parametrize()
@settings(max_examples=150, print_blob=True, **BOUNDS)
def test_a_longer_random_search_finds_no_server_error(
    api_server: ApiServer, case: schemathesis.Case[Any]
) -> None:
    check(api_server, case)


def check(api_server: ApiServer, case: schemathesis.Case[Any]) -> None:
    """No server error, and every refusal is a problem."""
    response = case.call(base_url=str(api_server.http.base_url), timeout=30)
    if case.path != "/readyz":  # returns 503 without broker and workers
        case.validate_response(response, checks=[not_a_server_error])
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/problem+json"], response.text
        assert response.json()["status"] == response.status_code
