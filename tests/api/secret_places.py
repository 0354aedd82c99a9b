"""Requests that carry a secret in every place where somebody may put one by mistake."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from tests.api.api_server import ApiServer

BODY = {"spec": {"kind": "train", "epochs": 1}, "reuse": False}


@dataclass(frozen=True)
class Place:
    """One request; `headers` may hold what httpx would not send by itself."""

    name: str
    method: str = "GET"
    path: str = "/experiments"
    headers: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def send(self, http: httpx.Client, **headers: str) -> httpx.Response:
        both = {**headers, **self.headers}
        return http.request(self.method, self.path, headers=both, **self.more)


def places(secret: str, origin: str) -> Iterator[Place]:
    """`origin` is the service's own address: its login form is accepted from its pages only."""
    encoded = base64.b64encode(f"user:{secret}".encode()).decode()
    for given in (
        secret,
        f"Bearer {secret}",
        f"bearer  {secret} ",
        f"Bearer {secret} {secret}",
        f"Bearer:{secret}",
        f'Bearer "{secret}"',
        f"Basic {encoded}",
        f"Token {secret}",
        f"Digest username={secret}",
    ):
        yield Place(f"Authorization: {given[:8]}", headers={"Authorization": given})
    for name in (
        *("X-API-Key", "X-Auth-Token", "Api-Key", "Proxy-Authorization", "Cookie", "User-Agent"),
        *("Referer", "Origin", "Host", "Accept", "Range", "If-None-Match", "X-Request-Id"),
        *("X-Forwarded-Prefix", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"),
        *("Content-Type", "Content-Encoding", "Content-Length", "Last-Event-ID", "tracestate"),
        *("Idempotency-Key", "traceparent", "Expect"),
    ):
        yield Place(name, headers={name: secret})
        yield Place(f"{name} of a write", "POST", headers={name: secret}, more={"json": BODY})
    yield Place("cookie", headers={"Cookie": f"richregime_login={secret}"})
    yield Place("another cookie", headers={"Cookie": f"session={secret}; richregime_login=none"})
    for name in ("key", "api_key", "token", "label", "cursor", "limit", "status", "kind", "q"):
        yield Place(f"query {name}", path=f"/experiments?{name}={quote(secret)}")
    for path in ("/{}", "/experiments/{}", "/runs/{}", "/kinds/{}", "/artifacts/{}", "/assets/{}"):
        yield Place(f"path {path}", path=path.format(quote(secret, safe="")))
        yield Place(f"method {path}", "PUT", path=path.format(quote(secret, safe="")))
    yield Place("method", secret.replace("_", "-").replace("/", "-").replace("=", "-"))
    yield from _bodies(secret)
    for fields in ({"key": secret}, {"password": secret}, {"key": f"{secret} x"}, {secret: "x"}):
        headers, name = {"Origin": origin}, f"login form {next(iter(fields))[:8]}"
        yield Place(name, "POST", "/login", headers, {"data": fields})
    yield Place("login page", path=f"/login?key={quote(secret)}")


def _bodies(secret: str) -> Iterator[Place]:
    spec = BODY["spec"]
    for name, body in {
        "unknown field": {**BODY, "key": secret},
        "name of a field": {**BODY, secret: 1},
        "field of the spec": {"spec": {**spec, secret: secret}},  # type: ignore[dict-item]
        "kind": {"spec": {"kind": secret}},
        "epochs": {"spec": {"kind": "train", "epochs": secret}},
        "data": {"spec": {"kind": "train", "data": {"name": secret}}},
        "model": {"spec": {"kind": "train", "model": {"name": secret}}},
        "checkpoint": {
            "spec": {"kind": "train", "init": {"name": "checkpoint", "checkpoint": secret}}
        },
        "axis": {**BODY, "sweep": {secret: [1, 2]}},
        "values": {**BODY, "sweep": {"epochs": [secret, secret]}},
        "priority": {**BODY, "priority": secret},
        "requires": {**BODY, "execution": {"requires": [secret]}},
        "webhook": {**BODY, "webhook": secret},
        "webhook with a user": {**BODY, "webhook": {"url": f"https://me:{secret}@example.org/"}},
        "webhook to this machine": {**BODY, "webhook": {"url": f"http://127.0.0.1/?key={secret}"}},
        "webhook's host": {**BODY, "webhook": {"url": f"http://{secret[:60]}.invalid/{secret}"}},
        "webhook's secret": {
            **BODY,
            "webhook": {"url": "https://example.org", "secret": f"{secret}!"},
        },
        "text": secret,
        "list": [secret],
    }.items():
        for path in ("/experiments", "/experiments/preview"):
            yield Place(f"{name} in {path}", "POST", path, more={"json": body})
    yield Place("no JSON", "POST", headers={}, more={"content": f'{{"key": {secret}'})
    yield Place("doubled", "POST", more={"content": f'{{"{secret}": 1, "{secret}": 2}}'})
    for path in ("/datasets", "/checkpoints", "/import"):
        yield Place(f"upload {path}", "POST", path, more={"content": secret.encode()})
    yield Place(
        "name of a data set", "POST", f"/datasets?name={quote(secret)}", more={"content": b"x"}
    )


def send(api_server: ApiServer, place: Place, **headers: str) -> str:
    """Everything that the service answers, except an address that leads back after the login."""
    try:
        response = place.send(api_server.http, **headers)
    except (httpx.HTTPError, UnicodeError):
        return ""  # the server ends the connection of a malformed request
    assert response.status_code < 500, (place, response.text)
    shown = {name: value for name, value in response.headers.items() if name != "location"}
    return f"{shown}\n{response.text}"
