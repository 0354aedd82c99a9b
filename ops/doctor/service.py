"""A check-up of a service from without, by its address: what it answers, to whom, and what that tells."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from api.middleware.request_middleware import is_loopback
from ops.doctor.deployment import MANY_ORPHANS, SKEW_SECONDS
from ops.doctor.findings import Finding, ok, warning, wrong
from ops.doctor.local_checks import LITTLE_BYTES, check_versions
from richregime.connection import connection_arguments
from runtime.version import SERVICE_VERSION

TIMEOUT_SECONDS = 10.0
COARSE_SKEW_SECONDS = 10.0
"""What a header of whole seconds, written while others are answered, lets one see"""


def examine(url: str, key: str | None) -> Iterator[Finding]:
    """Every check in turn; what the key may not see is left out."""
    yield from check_versions()
    with httpx.Client(**connection_arguments(url, key, TIMEOUT_SECONDS)) as http:
        try:
            answer = http.get("/healthz")
        except httpx.HTTPError as error:
            todo = "start it, or correct the address; a proxy's log may tell more"
            yield wrong("service", f"{url} does not answer ({type(error).__name__})", todo)
            return
        if not _is_ours(answer):
            yield wrong(
                "service",
                f"{url} answers {answer.status_code}, and not as this service",
                "correct the address",
            )
            return
        yield ok("service", f"{url} answers")
        yield from _check_clock(answer)
        yield from _check_ready(http)
        yield from _check_access(http, url)
        refused = http.get("/workers")
        if refused.status_code in (401, 403):
            yield wrong("key", _detail(refused), "give one with the scope `read` in RICHREGIME_KEY")
            return
        yield from _check_version(http)
        yield from _check_workers(http, refused.json()["items"])
        yield from _check_storage(http)


def _is_ours(answer: httpx.Response) -> bool:
    return (
        answer.status_code == 200
        and "x-request-id" in answer.headers
        and answer.json() == {"status": "ok"}
    )


def _detail(answer: httpx.Response) -> str:
    return str(answer.json().get("detail", answer.status_code))


def _check_clock(answer: httpx.Response) -> Iterator[Finding]:
    told = answer.headers.get("date")
    if told is None:
        return
    ahead = time.time() - parsedate_to_datetime(told).timestamp()
    if abs(ahead) > COARSE_SKEW_SECONDS:
        yield warning(
            "clock",
            f"this host's differs from the service's by {ahead:+.0f} s",
            "let NTP keep both",
        )
    else:
        yield ok("clock", "as the service's")


def _check_ready(http: httpx.Client) -> Iterator[Finding]:
    answer = http.get("/readyz")
    if answer.status_code == 200:
        yield ok("ready", "database, broker and workers answer")
    else:
        todo = "on its host `richregime doctor` without an address tells more"
        yield wrong("ready", _detail(answer), todo)


def _check_access(http: httpx.Client, url: str) -> Iterator[Finding]:
    address = httpx.URL(url)
    if is_loopback(address.host):
        return
    if address.scheme != "https":
        yield warning(
            "access", "a key travels as plain text", "put TLS before the service (docs/how-to/access.md)"
        )
    if httpx.get(f"{url}/queue", timeout=TIMEOUT_SECONDS).status_code == 200:
        yield wrong(
            "access",
            "it answers whoever reaches it, without a key",
            "`richregime keys create` on its host",
        )
    else:
        yield ok("access", "a key is asked for")


def _check_version(http: httpx.Client) -> Iterator[Finding]:
    theirs, ours = http.get("/openapi.json").json()["info"]["version"], SERVICE_VERSION
    if theirs != ours:
        yield warning("version", f"it is {theirs}, this is {ours}", "bring both to one version")
    else:
        yield ok("version", theirs)


def _check_workers(http: httpx.Client, workers: list[Mapping[str, Any]]) -> Iterator[Finding]:
    listening = [worker for worker in workers if worker["listening"]]
    for worker in listening:
        if abs(worker["clock_ahead_seconds"] or 0.0) > SKEW_SECONDS:
            found = f"{worker['host']}'s clock differs from the database's by {worker['clock_ahead_seconds']:+.1f} s"
            yield warning("workers", found, "let NTP keep it (`timedatectl`)")
    queue = http.get("/queue").json()
    slots = sum(worker["slots"] for worker in listening)
    waited = queue["oldest_queued_seconds"] or 0.0
    if listening and waited > 60 and queue["running"] < slots:
        found = (
            f"a run has waited for {waited:.0f} s while {slots - queue['running']} slots are free"
        )
        todo = "it may ask for a device that is not there; else the wake-up does not reach the workers: see their logs"
        yield warning("runs", found, todo)
    else:
        yield ok(
            "runs", f"{queue['running']} under way, {queue['queued']} wait; {slots} slots listen"
        )


def _check_storage(http: httpx.Client) -> Iterator[Finding]:
    answer = http.get("/storage")
    if answer.status_code != 200:
        return  # for admins alone
    told = answer.json()
    orphans, free = told["orphans"], told["free_bytes"]
    if orphans["files"] > MANY_ORPHANS:
        yield warning(
            "leftovers",
            f"{orphans['files']} files that nothing refers to",
            "`richregime gc` on its host",
        )
    if free is not None and free < LITTLE_BYTES:
        yield warning("files", f"{free / 1e9:.1f} GB free", "delete experiments, or a larger disk")
    else:
        yield ok("files", f"{told['bytes'] / 1e9:.1f} GB stored")
