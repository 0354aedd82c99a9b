"""The service's address, the connection of both clients, and what its failures are raised as."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from richregime.errors import InvalidConnection, ServiceUnreachable, UnexpectedResponse

URL_VARIABLE = "RICHREGIME_URL"
KEY_VARIABLE = "RICHREGIME_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"
MAX_RETRIES = 5
VISIBLE = re.compile(r"[!-~]+")
ADDRESS = re.compile(
    r"https?://(\[[0-9a-f:.%]+\]|[^/?#:@\[\]]+)(?::(?P<port>[0-9]{1,5}))?(/[^?#]*)?", re.IGNORECASE
)
SECRETS = re.compile(r"(?<=//)[^/]*@|\?.*|rrk_\w+")
"""Parts of a wrong address that may be secret: user and password, a query, an API key"""


def service_url(url: str | None = None) -> str:
    """The given address, else that of the environment, else that of this machine.

    Blanks around it are removed. Raises InvalidConnection for an address with other characters
    than visible ASCII, of another scheme than http and https, or with a user, a password, a query
    or a port outside 1 to 65535. The message contains no secret.
    """
    found = (url or os.environ.get(URL_VARIABLE) or "").strip().rstrip("/") or DEFAULT_URL
    source = "the given address" if url else URL_VARIABLE
    if not _is_address(found):
        raise InvalidConnection(
            f"{source} is not the address of a service: {SECRETS.sub('***', found)[:100]!a}; "
            f"it is like {DEFAULT_URL}, with a port from 1 to 65535; "
            f"an API key is given by {KEY_VARIABLE}"
        )
    return found


def _is_address(text: str) -> bool:
    from httpx import URL, InvalidURL

    found = ADDRESS.fullmatch(text) if VISIBLE.fullmatch(text) else None
    if found is None or not 1 <= int(found["port"] or 80) <= 65535:
        return False
    try:
        return bool(URL(text).host.encode("idna"))  # as the system's resolver does
    except (InvalidURL, UnicodeError):
        return False


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


@contextmanager
def raising_client_errors(url: str) -> Iterator[None]:
    """Raises the failures of httpx in the block as ServiceUnreachable or UnexpectedResponse."""
    from httpx import DecodingError, InvalidURL, TooManyRedirects, TransportError

    try:
        yield
    except TransportError as error:
        raise ServiceUnreachable(url, error) from error
    except (DecodingError, InvalidURL, TooManyRedirects, UnicodeError) as error:
        raise UnexpectedResponse(f"{url} does not respond like this service: {error}") from error
