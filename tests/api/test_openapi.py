"""The OpenAPI description: `openapi.yaml`, examples, problems."""

from __future__ import annotations

from pathlib import Path

from api.http.openapi import openapi_yaml
from engine.experiments.registry import kinds
from tests.api.api_server import ApiServer

ROOT = Path(__file__).parents[2]


def test_openapi_yaml_is_up_to_date() -> None:
    written = (ROOT / "openapi.yaml").read_text(encoding="utf-8")
    assert written == openapi_yaml(), "run `python -m api.http.openapi > openapi.yaml`"


def test_openapi_has_an_example_for_every_kind_and_problems_for_every_operation(
    api_server: ApiServer,
) -> None:
    description = api_server.get("/openapi.json")
    post = description["paths"]["/experiments"]["post"]
    content = post["requestBody"]["content"]["application/json"]
    assert {name: example["value"] for name, example in content["examples"].items()} == {
        name: kind.example for name, kind in kinds().items()
    }
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert "application/problem+json" in operation["responses"]["4XX"]["content"], (
                method,
                path,
            )
            assert operation.get("description") or operation.get("summary"), (method, path)
