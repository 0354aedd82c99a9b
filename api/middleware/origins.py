"""Which page a browser sends a request from. Only browsers send these headers."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_cross_site(headers: Headers) -> bool:
    """Whether a page of another site sends the request."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    return "origin" in headers and not _names_host(headers)


def is_own_page(headers: Headers) -> bool:
    """Whether the headers prove that a page of this service sends the request."""
    site = headers.get("sec-fetch-site")
    return site == "same-origin" if site is not None else _names_host(headers)


def _names_host(headers: Headers) -> bool:
    host = headers.get("host", "")
    try:
        return bool(host) and urlsplit(headers.get("origin", "")).netloc == host
    except ValueError:
        return False
