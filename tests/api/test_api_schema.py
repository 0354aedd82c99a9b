"""The API against its own description: whatever a schema-driven search sends, no answer is a fault."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error

from api.main import create_app
from storage.settings import Settings
from tests.api.conftest import Desk

description = schemathesis.openapi.from_dict(
    create_app(Settings(database_url=None, broker_url=None)).openapi()
)


@pytest.fixture(scope="module", autouse=True)
def denormals() -> Iterator[None]:
    """Hypothesis draws from all floats; a process that has trained flushes the smallest, so they are kept meanwhile."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_flush_denormal(False)
    yield
    if torch is not None:
        torch.set_flush_denormal(True)


@description.exclude(path_regex="/(events|export)$").parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_is_answered_with_a_fault(desk: Desk, case: schemathesis.Case) -> None:
    response = case.call(base_url=str(desk.http.base_url), timeout=30)
    if case.path != "/readyz":  # without broker and workers it rightly answers 503
        case.validate_response(response, checks=[not_a_server_error])
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/problem+json"], response.text
        assert response.json()["status"] == response.status_code
