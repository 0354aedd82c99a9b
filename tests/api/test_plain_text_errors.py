"""Errors of ranges, and every other error that Starlette writes as plain text, are problems."""

from __future__ import annotations

import asyncio
import shutil
import socket
from email.parser import BytesParser
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from uvicorn import Config

from api.app import main
from api.http.malformed_requests import HttpProtocol
from api.middleware.plain_text_errors import PlainTextErrors
from schemas.problems import Problem
from tests.api.api_server import ApiServer

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def files(api_server: ApiServer) -> list[str]:
    """An artifact, a style sheet, a script of the API's pages, a picture and Plotly."""
    made = str(api_server.submit({"spec": {"kind": "train", "epochs": 3}})["id"])
    run = api_server.finish_all_runs(made)[0].run_id
    artifact = api_server.get(f"/runs/{run}/checkpoints")["items"][0]["id"]
    return [
        f"/artifacts/{artifact}",
        "/assets/page.css",
        "/static-offline-docs/swagger-ui.css",
        "/guide/images/demo_accuracy_bars.png",
        "/plotly.min.js",
    ]


@pytest.mark.parametrize(
    ("wanted", "status", "reason"),
    [
        ("bytes=99999999999-", 416, "the file has"),
        ("bytes=5-2", 400, "start must be less than end"),
        ("bytes=", 400, "range must be requested"),
        ("bytes", 400, "malformed"),
        ("lines=0-4", 400, "only support bytes"),
        ("bytes=a-b", 400, "range must be requested"),
    ],
)
def test_a_wrong_range_is_a_problem(
    api_server: ApiServer, files: list[str], wanted: str, status: int, reason: str
) -> None:
    for path in files:
        response = api_server.http.get(path, headers={"Range": wanted})
        assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), path
        problem = response.json()
        assert problem["code"] == "invalid-request"
        assert wanted in problem["detail"]
        assert reason in problem["detail"]
        assert problem["errors"][0]["pointer"] == "#/header/range"
        if status == 416:
            assert response.headers["content-range"].startswith("bytes */")


def test_a_right_range_is_served(api_server: ApiServer, files: list[str]) -> None:
    for path in files:
        response = api_server.http.get(path, headers={"Range": "bytes=0-3"})
        assert (response.status_code, len(response.content)) == (206, 4), path


def test_a_browser_gets_the_error_of_a_range_as_a_page(
    api_server: ApiServer, files: list[str]
) -> None:
    headers = {"Range": "bytes=5-2", "Accept": "text/html"}
    response = api_server.http.get(files[0], headers=headers)
    assert response.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("status", [400, 403, 418, 503])
def test_every_plain_text_error_becomes_a_problem_and_keeps_its_headers(status: int) -> None:
    response = PlainTextResponse("not so", status, headers={"Retry-After": "3"})
    app = PlainTextErrors(Starlette(routes=[Route("/", response)]))

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.get("/")

    got = asyncio.run(request())
    assert (got.status_code, got.headers["content-type"]) == (status, PROBLEM)
    assert (got.json()["detail"], got.headers["retry-after"]) == ("not so", "3")


def test_plain_text_that_is_no_error_stays(api_server: ApiServer) -> None:
    response = api_server.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert b"richregime_" in response.content


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00 TLS to a port without it\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /experiments HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n",
        b"POST /experiments HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ],
)
def test_bytes_that_are_no_http_request_get_a_problem(api_server: ApiServer, sent: bytes) -> None:
    url = api_server.http.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall(sent)
        answer = connection.makefile("rb").read()  # until the service closes the connection
    line, _, rest = answer.partition(b"\r\n")
    head, _, body = rest.partition(b"\r\n\r\n")
    headers = BytesParser().parsebytes(head)
    assert line == b"HTTP/1.1 400 Bad Request"
    assert headers.get_content_type() == PROBLEM
    assert int(headers["Content-Length"]) == len(body)
    problem = Problem.model_validate_json(body)
    assert (problem.status, problem.code) == (400, "invalid-request")
    assert problem.type == "/guide/errors#invalid-request"
    assert "Invalid HTTP request" in problem.detail


def test_the_command_serves_with_this_protocol(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    served: list[Config] = []
    monkeypatch.setenv("RICHREGIME_HOME", str(tmp_path))
    monkeypatch.setenv("RICHREGIME_ROOT_PATH", "/lab")
    monkeypatch.setattr("uvicorn.run", lambda app, **options: served.append(Config(app, **options)))
    assert main([]) == 0
    protocol = served[0].http
    assert isinstance(protocol, type)
    assert issubclass(protocol, HttpProtocol)
    assert protocol.service_path == "/lab"
