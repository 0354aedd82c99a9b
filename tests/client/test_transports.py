"""TLS contexts and proxies of both clients; what cannot be used is an error of one line."""

from __future__ import annotations

import asyncio
import socketserver
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from richregime import (
    AsyncClient,
    Client,
    ClientError,
    InvalidArgument,
    InvalidConnection,
    ServiceUnreachable,
    UnexpectedResponse,
)
from richregime.transports import route_of
from richregime.types import QueueState

REMOTE = "http://service.invalid"
QUEUE = (
    QueueState(queued=0, running=0, workers_listening=0, by_kind={}, oldest_queued_seconds=None)
    .model_dump_json()
    .encode()
)
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class Proxy(BaseHTTPRequestHandler):
    """Answers every request as the service of an empty queue would, whatever its host."""

    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.seen.append(self.path)
        body = QUEUE
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def proxy() -> Iterator[str]:
    """The address of a proxy; `Proxy.seen` has the addresses that it was asked for."""
    Proxy.seen = []
    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def is_one_line(error: ClientError) -> bool:
    return "\n" not in str(error)


def ask(url: str) -> int:
    with Client(url, max_retries=0) as client:
        return client.queue().queued


async def ask_without_blocking(url: str) -> int:
    async with AsyncClient(url, max_retries=0) as client:
        return (await client.queue()).queued


@pytest.mark.parametrize("content", [None, "", "no certificate\n"])
def test_unusable_certificates_are_named_for_https_and_not_read_for_http(
    content: str | None, proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "certificates.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidConnection, match=f"SSL_CERT_FILE is '{file}'") as raised:
            kind("https://service.invalid")
        assert is_one_line(raised.value)
    assert ask(proxy) == 0
    assert asyncio.run(ask_without_blocking(proxy)) == 0


def test_plain_http_builds_no_tls_context(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("certificates were loaded")

    monkeypatch.setattr("ssl.create_default_context", refuse)
    for kind in (Client, AsyncClient):
        kind("http://127.0.0.1:1")
        with pytest.raises(AssertionError, match="certificates were loaded"):
            kind("https://127.0.0.1:1")


def test_a_certificate_that_nobody_trusts_is_refused_after_a_redirect_to_https() -> None:
    """The transport of plain http must not carry TLS, where it would check nothing."""

    class Redirect(Proxy):
        def do_GET(self) -> None:
            self.send_response(308)
            self.send_header("Location", "https://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Redirect) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Client(f"http://127.0.0.1:{server.server_port}", max_retries=0) as client:
            with pytest.raises(ServiceUnreachable, match="refused"):
                client.queue()
            transport = client._http._transport._sync_transport  # type: ignore[attr-defined]
            assert {route.scheme for route in transport._made} == {"http", "https"}
        server.shutdown()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "LOCALHOST.", "[::1]"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_this_machine_is_reached_without_a_proxy(
    host: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://proxy.invalid:3128")
    assert route_of(httpx.URL(f"http://{host}:8000/queue")).proxy is None
    assert route_of(httpx.URL(REMOTE)).proxy == "http://proxy.invalid:3128"


def test_other_machines_are_reached_through_the_proxy_of_the_environment(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.removeprefix("http://"))
    assert ask(REMOTE) == 0
    assert asyncio.run(ask_without_blocking(REMOTE)) == 0
    assert Proxy.seen == [f"{REMOTE}/queue"] * 2
    monkeypatch.setenv("NO_PROXY", "other.example, .invalid")
    with pytest.raises(ServiceUnreachable):
        ask(REMOTE)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("ftp://me:hunter2@proxy.invalid", "not like http://HOST:3128"),
        ("http://me:hunter2@", "not like http://HOST:3128"),
        ("http://me:hunter2@proxy:port", "not like http://HOST:3128"),
        ("socks5://me:hunter2@proxy.invalid", "pip install"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    address: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", address)
    monkeypatch.setitem(sys.modules, "socksio", None)
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidConnection, match=f"HTTP_PROXY or ALL_PROXY.*{reason}") as raised:
            kind(REMOTE)
        assert is_one_line(raised.value)
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("name", ["", ".", "..", "\udcff"])
def test_what_is_no_id_is_refused_before_it_is_sent(name: str) -> None:
    with Client("http://127.0.0.1:1", max_retries=0) as client:
        for method in (client.get, client.delete, client.run, client.kind, client.preset):
            with pytest.raises(InvalidArgument) as raised:
                method(name)
            assert is_one_line(raised.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), "\udcff"])
def test_a_value_that_json_does_not_have_is_refused_before_it_is_sent(value: object) -> None:
    with Client("http://127.0.0.1:1", max_retries=0) as client:
        with pytest.raises(InvalidArgument, match="cannot be sent") as raised:
            client.submit({"kind": "train", "lr": value})
        assert is_one_line(raised.value)
        with pytest.raises(InvalidArgument, match="cannot be sent"):
            client.list(label="x" * 100_000)


class Talker(socketserver.StreamRequestHandler):
    """Sends `response` to whoever connects."""

    response = b""

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        self.wfile.write(self.response)


HEAD = b"HTTP/1.1 %s\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (HEAD % b"302 Found" + b"Location: /queue\r\n\r\n", UnexpectedResponse),
        (HEAD % b"302 Found" + b"Location: http://[\r\n\r\n", ServiceUnreachable),
        (HEAD % b"302 Found" + b"Location: http://a..b/\r\n\r\n", ClientError),
        (HEAD % b"302 Found" + b"Location: ftp://a/\r\n\r\n", ServiceUnreachable),
        (HEAD % b"200 OK" + b"\r\nnot\nJSON\n", UnexpectedResponse),
        (HEAD % b"200 OK" + b"\r\n[]", UnexpectedResponse),
        (HEAD % b"200 OK" + b"Content-Encoding: gzip\r\n\r\nnone", UnexpectedResponse),
        (HEAD % b"500 Failed" + b"\r\n<html>\n</html>", UnexpectedResponse),
        (b"SSH-2.0-OpenSSH_9.9\r\n", ServiceUnreachable),
        (b"", ServiceUnreachable),
    ],
)
def test_whatever_another_program_answers_is_an_error_of_one_line(
    response: bytes, error: type[ClientError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Talker, "response", response)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(error) as raised:
            ask(url)
        assert is_one_line(raised.value)
        with pytest.raises(error) as raised:
            asyncio.run(ask_without_blocking(url))
        assert is_one_line(raised.value)
        server.shutdown()
