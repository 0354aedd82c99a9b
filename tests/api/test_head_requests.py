"""HEAD of every route that GET has: the same status and headers, no body, and no waiting."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from api.app import create_app
from runtime.settings import Settings
from tests.api.api_server import ApiServer

NAMES = {
    "kind": "train",
    "slug": "access",
    "folder": "images",
    "ending": "png",
    "format": "csv",
    "report_format": "md",
}
PLOT = "learning_curve"
VARYING = {"date", "x-request-id", "transfer-encoding"}


def list_paths(routes: list[Any]) -> Iterator[str]:
    """The path of every route that GET has, mounted folders excepted."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from list_paths(route.original_router.routes)
        elif "GET" in (getattr(route, "methods", None) or ()):
            yield route.path


PATHS = sorted({*list_paths(create_app(Settings()).routes), "/assets/page.css", "/assets/none"})


@pytest.fixture(scope="module")
def values(api_server: ApiServer) -> dict[str, str]:
    """Values of path parameters: those of a finished experiment."""
    made = str(api_server.submit({"spec": {"kind": "train", "epochs": 3}})["id"])
    run = api_server.finish_all_runs(made)[0].run_id
    checkpoint = api_server.get(f"/runs/{run}/checkpoints")["items"][0]["id"]
    found = {"experiment_id": made, "run_id": run, "artifact_id": checkpoint, **NAMES}
    return found | {"checkpoint_id": "weights_none"}


def fill(path: str, values: dict[str, str]) -> str:
    names = {"/presets": "demo", "/datasets": "digits", "/guide": "demo_accuracy_bars"}
    named = next((one for start, one in names.items() if path.startswith(start)), PLOT)
    for name, value in {**values, "name": named, "slug:path": values["slug"]}.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path
    return path


def test_the_walk_finds_routes_pages_and_files() -> None:
    assert {"/", "/experiments", "/healthz", "/docs", "/openapi.json", "/redoc"} <= set(PATHS)
    assert len(PATHS) > 40


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_the_body(
    api_server: ApiServer, values: dict[str, str], path: str
) -> None:
    address = fill(path, values)
    got, head = (api_server.http.request(method, address) for method in ("GET", "HEAD"))
    assert head.status_code == got.status_code != 405
    assert head.content == b""
    without_length = VARYING | ({"content-length"} if path == "/metrics" else set())
    for name in {*got.headers, *head.headers} - without_length:
        assert head.headers.get(name) == got.headers.get(name), name


@pytest.mark.parametrize("path", PATHS)
def test_another_method_is_a_405_that_names_the_allowed_ones(
    api_server: ApiServer, values: dict[str, str], path: str
) -> None:
    for accept, media_type in (("text/html", "text/html"), ("*/*", "application/problem+json")):
        response = api_server.http.request(
            "PROPFIND", fill(path, values), headers={"Accept": accept}
        )
        assert response.status_code == 405
        assert {"GET", "HEAD"} <= set(response.headers["allow"].split(", "))
        assert response.headers["content-type"].partition(";")[0] == media_type


@pytest.mark.parametrize("path", ["/nothing", "/experiments/none", "/experiments?limit=0"])
def test_head_of_an_error_is_the_error_without_the_body(api_server: ApiServer, path: str) -> None:
    got, head = (api_server.http.request(method, path) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/import", "/logout"])
def test_head_is_refused_where_there_is_no_get(api_server: ApiServer, path: str) -> None:
    head = api_server.http.head(path)
    assert (head.status_code, head.headers["allow"]) == (405, "POST")


def test_head_of_a_live_stream_ends_at_once_and_frees_its_place(
    api_server: ApiServer,
) -> None:
    made = api_server.submit({"spec": {"kind": "train"}, "reuse": False})["id"]
    stream = {"Accept": "text/event-stream"}
    for _ in range(api_server.settings.max_sse_clients + 1):
        head = api_server.http.head(f"/experiments/{made}/events", headers=stream, timeout=5)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"].startswith("text/event-stream")


def test_the_body_of_an_export_is_never_made(
    api_server: ApiServer, values: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []

    def draw(*_: Any, **__: Any) -> Iterator[bytes]:
        made.append(b"part")
        yield b"part"

    monkeypatch.setattr("api.routes.results.export", draw)
    path = f"/experiments/{values['experiment_id']}/export"
    assert api_server.http.head(path).status_code == 200
    assert api_server.http.get(path).content == b"part"
    assert made == [b"part"], "by GET alone"


def test_the_connection_stays_usable_after_head(api_server: ApiServer) -> None:
    host, port = api_server.http.base_url.host, api_server.http.base_url.port
    with socket.create_connection((host, port or 80), timeout=10) as connection:
        for method, ending in (("HEAD", ""), ("GET", "Connection: close\r\n")):
            lines = (f"{method} /healthz HTTP/1.1", f"Host: {host}", f"{ending}\r\n")
            connection.sendall("\r\n".join(lines).encode())
        received = b""
        while part := connection.recv(65_536):
            received += part
    first, second = received.split(b"HTTP/1.1 200 OK")[1:]
    assert first.endswith(b"\r\n\r\n"), "headers only"
    assert second.endswith(b"}")


def test_head_is_counted_under_its_own_name(api_server: ApiServer) -> None:
    api_server.http.head("/kinds")
    text = api_server.http.get("/metrics").text
    assert 'method="HEAD",route="/kinds",status="200"' in text
