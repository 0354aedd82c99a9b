"""The API against its own description: whatever a schema-driven search sends, no response is a fault."""

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
def send_as_it_is(context: schemathesis.SerializationContext, value: Any) -> Any:
    """An archive is bytes, valid or not."""
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
def test_no_request_is_answered_with_a_fault(
    api_server: ApiServer, case: schemathesis.Case
) -> None:
    check(api_server, case)


@pytest.mark.slow
@CALLED.parametrize()
@settings(max_examples=150, print_blob=True, **BOUNDS)
def test_a_longer_search_that_is_another_each_time_finds_no_fault(
    api_server: ApiServer, case: schemathesis.Case
) -> None:
    check(api_server, case)


def check(api_server: ApiServer, case: schemathesis.Case) -> None:
    """No fault, and every refusal a problem."""
    response = case.call(base_url=str(api_server.http.base_url), timeout=30)
    if case.path != "/readyz":  # without broker and workers it rightly answers 503
        case.validate_response(response, checks=[not_a_server_error])
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/problem+json"], response.text
        assert response.json()["status"] == response.status_code
