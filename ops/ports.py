"""TCP ports of this host: whether one is free, and a free one."""

from __future__ import annotations

import errno
import socket

from runtime.setting_errors import InvalidSetting

LOOPBACK = "127.0.0.1"
HOST = "RICHREGIME_HOST or --host"


def free_port(host: str = LOOPBACK) -> int:
    """A port of `host` that no process listens on at this moment."""
    is_free(host, 0)
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether no other process listens on the port.

    Raises InvalidSetting for a host that is not this machine's, and for a port that is not allowed.
    """
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror as failure:
            raise InvalidSetting(f"{HOST}: {host!r} is no known host: {failure.strerror}") from None
        except OSError as failure:
            if failure.errno == errno.EADDRINUSE:
                return False
            if failure.errno == errno.EADDRNOTAVAIL:
                raise InvalidSetting(
                    f"{HOST}: {host!r} is not an address of this machine; 127.0.0.1 is, and "
                    "0.0.0.0 is all of them"
                ) from None
            raise InvalidSetting(
                f"{HOST} {host!r} with RICHREGIME_PORT or --port {port}: {failure.strerror}"
            ) from None
        return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
