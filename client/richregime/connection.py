"""The service's address, and the arguments that both clients open their connection with."""

from __future__ import annotations

import os
import re
from typing import Any

from richregime.errors import InvalidConnection

URL_VARIABLE = "RICHREGIME_URL"
KEY_VARIABLE = "RICHREGIME_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"
MAX_RETRIES = 5
VISIBLE = re.compile(r"[!-~]+")
ADDRESS = re.compile(
    r"https?://(\[[0-9a-f:.%]+\]|[^/?#:@\[\]]+)(:[0-9]{1,5})?(/.*)?", re.IGNORECASE
)


def service_url(url: str | None = None) -> str:
    """The given address, else that of the environment, else that of this machine.

    Blanks around it are removed. Raises InvalidConnection for an address with other characters
    than visible ASCII, or of another scheme than http and https.
    """
    found = (url or os.environ.get(URL_VARIABLE) or "").strip().rstrip("/") or DEFAULT_URL
    source = "the given address" if url else URL_VARIABLE
    if not VISIBLE.fullmatch(found) or not ADDRESS.fullmatch(found):
        raise InvalidConnection(
            f"{source} is not the address of a service: {found[:100]!r}; "
            f"it is like {DEFAULT_URL}, with a port from 1 to 65535"
        )
    return found


def api_key(key: str | None = None) -> str | None:
    """The given key, else that of the environment, else None; blanks around it are removed.

    Raises InvalidConnection for a key with other characters than visible ASCII. The message does
    not contain the key.
    """
    found = (key or os.environ.get(KEY_VARIABLE) or "").strip()
    source = "the given API key" if key else f"the API key in {KEY_VARIABLE}"
    if found and not VISIBLE.fullmatch(found):
        raise InvalidConnection(
            f"{source} contains blanks, line breaks or other characters that no key has; "
            "copy it again"
        )
    return found or None


def connection_arguments(url: str | None, key: str | None, timeout: float) -> dict[str, Any]:
    """The arguments of `httpx.Client` and `httpx.AsyncClient`.

    See `service_url` and `api_key`. `timeout` is in seconds for one response.
    """
    key = api_key(key)
    return {
        "base_url": service_url(url),
        "timeout": timeout,
        "headers": {
            "Accept": "application/json",
            **({"Authorization": f"Bearer {key}"} if key else {}),
        },
        "follow_redirects": True,
    }
