"""HTTP transports that are made by their first request, so that plain http builds no TLS context.

Proxies come from the variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; this machine is
always reached directly.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from importlib import import_module
from typing import Any, NamedTuple
from urllib.request import getproxies, proxy_bypass

import httpx

from richregime.errors import InvalidConnection

CERTIFICATES_VARIABLE = "SSL_CERT_FILE"


class Route(NamedTuple):
    """How requests travel: with TLS or without, and through which proxy."""

    scheme: str
    proxy: str | None


def route_of(url: httpx.URL) -> Route:
    """The route to the address; see the variables of the proxies above."""
    if _is_this_machine(url.host) or proxy_bypass(url.netloc.decode("ascii")):
        return Route(url.scheme, None)
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if found is not None and "://" not in found:
        found = f"http://{found}"
    return Route(url.scheme, found)


def transport_arguments(route: Route) -> dict[str, Any]:
    """The arguments of `httpx.HTTPTransport` and `httpx.AsyncHTTPTransport`.

    Raises InvalidConnection where the certificates or the address of the proxy cannot be used.
    """
    # Without TLS, the context stays empty: it trusts nobody.
    is_secure = route.scheme == "https"
    verify = _trusted_certificates() if is_secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return {"verify": verify, "proxy": None if route.proxy is None else _proxy(route)}


def _trusted_certificates() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError) else str(error)
        raise InvalidConnection(
            f"{CERTIFICATES_VARIABLE} is {os.environ.get(CERTIFICATES_VARIABLE, '')!r}, which is "
            f"no readable file of certificates: {reason}"
        ) from None


def _proxy(route: Route) -> httpx.Proxy:
    names = (f"{route.scheme.upper()}_PROXY", "ALL_PROXY")
    rule = f"the proxy of {' or '.join(names)} cannot be used"
    try:
        proxy = httpx.Proxy(route.proxy or "")
    except (ValueError, httpx.InvalidURL):
        raise InvalidConnection(f"{rule}: its address is not like http://HOST:3128") from None
    if not proxy.url.host:
        raise InvalidConnection(f"{rule}: its address is not like http://HOST:3128")
    if proxy.url.scheme.startswith("socks"):
        try:
            import_module("socksio")
        except ImportError:
            raise InvalidConnection(f"{rule}: pip install 'httpx[socks]'") from None
    return proxy


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        name = host.removesuffix(".").lower()
        return name == "localhost" or name.endswith(".localhost")


class RoutedTransport(httpx.BaseTransport):
    """Sends each request by the transport of its route; `url` is the first address."""

    def __init__(self, url: str) -> None:
        self._made: dict[Route, httpx.HTTPTransport] = {}
        self._find(httpx.URL(url))

    def _find(self, url: httpx.URL) -> httpx.HTTPTransport:
        route = route_of(url)
        if route not in self._made:
            self._made[route] = httpx.HTTPTransport(**transport_arguments(route))
        return self._made[route]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._find(request.url).handle_request(request)

    def close(self) -> None:
        for transport in self._made.values():
            transport.close()


class AsyncRoutedTransport(httpx.AsyncBaseTransport):
    """`RoutedTransport` for the async client."""

    def __init__(self, url: str) -> None:
        self._made: dict[Route, httpx.AsyncHTTPTransport] = {}
        self._find(httpx.URL(url))

    def _find(self, url: httpx.URL) -> httpx.AsyncHTTPTransport:
        route = route_of(url)
        if route not in self._made:
            self._made[route] = httpx.AsyncHTTPTransport(**transport_arguments(route))
        return self._made[route]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._find(request.url).handle_async_request(request)

    async def aclose(self) -> None:
        for transport in self._made.values():
            await transport.aclose()
