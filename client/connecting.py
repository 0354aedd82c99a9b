"""Where the service is and how to reach it: what both clients open their connection with."""

from __future__ import annotations

import os
from typing import Any

URL_VARIABLE = "RICHREGIME_URL"
DEFAULT_URL = "http://127.0.0.1:8000"
MAX_RETRIES = 5


def service_url(url: str | None = None) -> str:
    """The address that was given, else that of the environment, else this machine's."""
    return (url or os.environ.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")


def connection_arguments(url: str | None, timeout: float) -> dict[str, Any]:
    """What httpx's two clients are made with alike. `timeout` is in seconds for one answer."""
    return {
        "base_url": service_url(url),
        "timeout": timeout,
        "headers": {"Accept": "application/json"},
        "follow_redirects": True,
    }
