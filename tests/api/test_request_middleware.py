"""Host and origin checks, security headers, internal errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.api_server import ApiServer

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "example.org:8000",
        "10.0.0.1",
        "127.0.0.1.example.org",
        "[2001:db8::1]:80",
        "LOCALHOST.example.org",
        "localhost.example.org.",
        "localhost..",
        ".localhost",
        "xlocalhost",
        "localhost:80:80",
        "[::ffff:10.0.0.1]",
        "[::ffff:127.0.0.1]:80.example.org",
        "[::1",
    ],
)
def test_a_foreign_host_name_is_refused(api_server: ApiServer, host: str) -> None:
    response = api_server.http.get("/healthz", headers={"Host": host})
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "127.0.0.1",
        "[::1]:8000",
        "127.1.2.3",
        "LOCALHOST",
        "LocalHost:8000",
        "localhost.",
        "LOCALHOST.:8000",
        "[::ffff:127.0.0.1]",
        "[::FFFF:127.0.0.1]:8000",
        "[0:0:0:0:0:0:0:1]",
    ],
)
def test_loopback_host_names_are_accepted(api_server: ApiServer, host: str) -> None:
    assert api_server.http.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://example.org"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_a_request_of_another_site_s_page_is_refused(
    api_server: ApiServer, headers: dict[str, str]
) -> None:
    before = api_server.count_experiments()
    response = api_server.http.post(
        "/experiments", json={"spec": {"kind": "train"}, "reuse": False}, headers=headers
    )
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert api_server.count_experiments() == before
    assert "access-control-allow-origin" not in response.headers


def test_the_service_s_own_page_may_submit(api_server: ApiServer) -> None:
    for headers in (
        {"Origin": str(api_server.http.base_url).rstrip("/")},
        {"Sec-Fetch-Site": "same-origin"},
    ):
        response = api_server.http.post(
            "/experiments/preview", json={"spec": {"kind": "train"}}, headers=headers
        )
        assert response.status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/nothing", "/experiments?limit=0", "/docs", "/assets/page.css"]
)
def test_every_response_has_the_security_headers(api_server: ApiServer, path: str) -> None:
    headers = api_server.http.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert len(headers["X-Request-Id"]) == 16
    assert "server" not in headers or "uvicorn" in headers["server"]


def test_an_internal_error_is_a_problem_without_details(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret")

    monkeypatch.setattr("api.routes.service.read_queue", fail)
    response = api_server.http.get("/queue")
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["request_id"] == response.headers["X-Request-Id"]
    assert "secret" not in response.text
    assert "Traceback" not in response.text
