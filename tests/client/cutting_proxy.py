"""A TCP proxy that cuts connections to a real service after a number of bytes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class CuttingProxy:
    """Cuts the n-th connection after `limits[n]` response bytes; later connections are not cut.

    With a limit of 0 the request arrives and the response is lost.
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
                client, _ = self._listener.accept()
            except OSError:
                return
            limit = (
                self._limits[self.num_connections]
                if self.num_connections < len(self._limits)
                else None
            )
            self.num_connections += 1
            service = socket.create_connection(self._upstream)
            threading.Thread(target=self._pump, args=(client, service, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(service, client, limit), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        num_bytes = 0
        with suppress(OSError):
            while chunk := source.recv(65_536):
                if limit is not None and num_bytes + len(chunk) > limit:
                    target.sendall(chunk[: limit - num_bytes])
                    break
                target.sendall(chunk)
                num_bytes += len(chunk)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def cut_connections(url: str, *limits: int) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(url, limits)
    try:
        yield proxy
    finally:
        proxy.close()
