"""An S3 server in this process whose answers come late, get lost, or are refusals."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from obstore.store import S3Store

BUCKET = "runs"
CLIENT_SECONDS = 0.5
"""How long the client waits for an answer"""

DELETED = "<DeleteResult><Deleted><Key>{}</Key></Deleted></DeleteResult>"
COPIED = b"<CopyObjectResult><ETag>e</ETag></CopyObjectResult>"
Fault = Literal["late", "lost", "refused"]
"""late: done, answered after the client has given up; lost: done, and the connection closed;
refused: not done, 503"""


@dataclass
class FakeS3:
    """The objects by key, the requests by method, and the faults that come next."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """By method; each is used once"""
    is_down: bool = False

    def take_fault(self, method: str) -> Fault | None:
        self.requests[method] += 1
        if self.is_down:
            return "refused"
        waiting = self.faults.get(method)
        return waiting.pop(0) if waiting else None

    def environment(self) -> dict[str, str]:
        """The variables that lead a process of the service to this server."""
        return {
            "AWS_ENDPOINT": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "here",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def open(self, *, retries: int = 4) -> S3Store:
        """A client as `obstore` makes it from the settings, with short waits."""
        return S3Store(
            BUCKET,
            endpoint=self.url,
            region="here",
            access_key_id="id",
            secret_access_key="secret",  # noqa: S106 - of the fake
            client_options={"allow_http": True, "timeout": f"{CLIENT_SECONDS}s"},
            retry_config={
                "max_retries": retries,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=10),
                    "max_backoff": timedelta(milliseconds=50),
                    "base": 2,
                },
            },
        )


@contextmanager
def fake_s3() -> Iterator[FakeS3]:
    """A running server."""
    state = FakeS3()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(state: FakeS3) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = state.take_fault(self.command)
            status, answer = (503, b"") if fault == "refused" else self._perform(body)
            if fault == "late":
                time.sleep(3 * CLIENT_SECONDS)
            if fault == "lost":
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("ETag", '"e"')
            self.send_header("Last-Modified", formatdate(usegmt=True))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

        def _perform(self, body: bytes) -> tuple[int, bytes]:
            parts = urlsplit(self.path)
            key = unquote(parts.path).removeprefix(f"/{BUCKET}").lstrip("/")
            if "list-type" in parse_qs(parts.query):
                return 200, _listing(state.objects)
            if self.command == "PUT":
                source = self.headers.get("x-amz-copy-source")
                if source is not None:
                    source = unquote(source).lstrip("/").removeprefix(f"{BUCKET}/")
                    if source not in state.objects:
                        return 404, b""
                    body = state.objects[source]
                state.objects[key] = body
                return (
                    200,
                    b"<CopyObjectResult><ETag>e</ETag></CopyObjectResult>" if source else b"",
                )
            if self.command == "POST":  # deletes the listed objects
                deleted = re.findall("<Key>(.*?)</Key>", body.decode())
                for one in deleted:
                    state.objects.pop(one, None)
                return 200, DELETED.format(deleted[0]).encode()
            if self.command == "DELETE":
                state.objects.pop(key, None)
                return 204, b""
            found = state.objects.get(key)
            return (404, b"") if found is None else (200, found)

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    return Handler


def _listing(objects: dict[str, bytes]) -> bytes:
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size><ETag>e</ETag>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for key, data in objects.items()
    )
    return (
        f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()
    )
