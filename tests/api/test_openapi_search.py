"""Searches for server errors with requests generated from the OpenAPI description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error

from api.app import create_app
from runtime.settings import Settings
from tests.api.api_server import ApiServer

pytestmark = pytest.mark.usefixtures("denormals")

DESCRIPTION = create_app(Settings(database_url=None, broker_url=None)).openapi()


def describe(*, with_limits: bool) -> schemathesis.BaseSchema:
    """The operations that respond at once. with_limits: cases at the limits of every field too."""
    config = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": with_limits}}})
    loaded = schemathesis.openapi.from_dict(DESCRIPTION, config=config)
    return loaded.exclude(path_regex="/(events|export)$")


@schemathesis.serializer("application/zip")
def send_unchanged(context: schemathesis.SerializationContext, value: Any) -> Any:
    """A zip archive is any bytes, valid or not."""
    return value


BOUNDS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Keeps its connection open; sends no headers of its own and reads no proxy settings."""
    with requests.Session() as opened:
        opened.trust_env = False
        opened.headers.clear()
        yield opened


@describe(with_limits=True).parametrize()
@settings(max_examples=12, derandomize=True, **BOUNDS)
def test_no_request_causes_a_server_error(
    api_server: ApiServer, session: requests.Session, case: schemathesis.Case[Any]
) -> None:
    check(api_server, session, case)


@pytest.mark.slow
@describe(with_limits=False).parametrize()
@settings(max_examples=150, print_blob=True, **BOUNDS)
def test_a_longer_random_search_finds_no_server_error(
    api_server: ApiServer, session: requests.Session, case: schemathesis.Case[Any]
) -> None:
    check(api_server, session, case)


def check(api_server: ApiServer, session: requests.Session, case: schemathesis.Case[Any]) -> None:
    """No server error, and every refusal is a problem."""
    session.cookies.clear()
    response = case.call(base_url=str(api_server.http.base_url), session=session, timeout=30)
    if case.path != "/readyz":  # returns 503 without broker and workers
        case.validate_response(response, checks=[not_a_server_error])
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/problem+json"], response.text
        assert response.json()["status"] == response.status_code
