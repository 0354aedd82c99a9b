"""The service's address, and the arguments that both clients open their connection with."""

from __future__ import annotations

import os
from typing import Any

URL_VARIABLE = "RICHREGIME_URL"
KEY_VARIABLE = "RICHREGIME_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"
MAX_RETRIES = 5


def service_url(url: str | None = None) -> str:
    """The given address, else that of the environment, else that of this machine."""
    return (url or os.environ.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")


def connection_arguments(url: str | None, key: str | None, timeout: float) -> dict[str, Any]:
    """The arguments of `httpx.Client` and `httpx.AsyncClient`.

    `key` is the given key, else that of the environment, else none. `timeout` is in seconds for one
    response.
    """
    key = key or os.environ.get(KEY_VARIABLE)
    return {
        "base_url": service_url(url),
        "timeout": timeout,
        "headers": {
            "Accept": "application/json",
            **({"Authorization": f"Bearer {key}"} if key else {}),
        },
        "follow_redirects": True,
    }
