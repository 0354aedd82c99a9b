"""A TCP proxy before a real service that cuts connections where a test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class CuttingProxy:
    """Passes everything on, but cuts the n-th connection after `limits[n]` bytes of answers; later ones stay whole.

    A limit of 0 lets the request through and loses the answer.
    """

    def __init__(self, upstream_url: str, limits: Sequence[int]) -> None:
        parts = urlsplit(upstream_url)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._limits = list(limits)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.num_connections = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                inside, _ = self._listener.accept()
            except OSError:
                return
            limit = (
                self._limits[self.num_connections]
                if self.num_connections < len(self._limits)
                else None
            )
            self.num_connections += 1
            outside = socket.create_connection(self._upstream)
            threading.Thread(target=self._pump, args=(inside, outside, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(outside, inside, limit), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while chunk := source.recv(65_536):
                if limit is not None and passed + len(chunk) > limit:
                    target.sendall(chunk[: limit - passed])
                    break
                target.sendall(chunk)
                passed += len(chunk)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def cutting(url: str, *limits: int) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(url, limits)
    try:
        yield proxy
    finally:
        proxy.close()
