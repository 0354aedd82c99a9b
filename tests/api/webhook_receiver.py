"""An HTTP server that receives deliveries and returns prepared responses."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.waiting import wait_until

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes....").decode()

PreparedResponse = int | Callable[[BaseHTTPRequestHandler], None]
"""A status, or a function that handles the request."""


@dataclass(frozen=True)
class ReceivedRequest:
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed_with(self, secret: str) -> bool:
        """Checked by the standard's definition, without code of the service."""
        key = base64.b64decode(secret[len("whsec_") :])
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        age = time.time() - int(self.headers["webhook-timestamp"])
        return self.headers["webhook-signature"] == f"v1,{expected}" and abs(age) < 300


@dataclass
class Receiver:
    url: str
    received: list[ReceivedRequest] = field(default_factory=list)
    responses: list[PreparedResponse] = field(default_factory=list)
    """The responses to the next requests; later ones get 204."""

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    def wait_for(self, count: int) -> list[ReceivedRequest]:
        wait_until(lambda: len(self.received) >= count)
        return self.received


def respond_after(released: threading.Event, status: int) -> PreparedResponse:
    """A response that is sent when the event is set, or after a minute."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        released.wait(60)
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return respond


@contextlib.contextmanager
def serve_receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            response = receiver.responses.pop(0) if receiver.responses else 204
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(ReceivedRequest(headers, body))
            if callable(response):
                response(self)
                return
            self.send_response(response)
            if response in (301, 302, 307):
                self.send_header("Location", f"{receiver.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook?token=T0KEN")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
