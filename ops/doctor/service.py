"""Checks of a service from outside, by its address."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from api.middleware.request_middleware import is_loopback
from engine.durations import format_offset, format_seconds
from ops.doctor.database_checks import MAX_CLOCK_SKEW_SECONDS, MAX_ORPHANS
from ops.doctor.findings import Finding, error, ok, warning
from ops.doctor.local_checks import LOW_DISK_BYTES, check_versions
from richregime.connection import connection_arguments
from runtime.version import SERVICE_VERSION

TIMEOUT_SECONDS = 10.0
MAX_DATE_SKEW_SECONDS = 10.0
"""Larger than `MAX_CLOCK_SKEW_SECONDS`: the header has whole seconds and arrives late."""
LONG_WAIT_SECONDS = 60.0


def examine(url: str, key: str | None) -> Iterator[Finding]:
    """Run every check in turn; a check that the key does not allow is left out."""
    yield from check_versions()
    with httpx.Client(**connection_arguments(url, key, TIMEOUT_SECONDS)) as http:
        try:
            response = http.get("/healthz")
        except httpx.HTTPError as failure:
            message = f"{url} does not respond ({type(failure).__name__})"
            yield error("service", message, "start it, correct the address, or read a proxy's log")
            return
        if not _is_richregime(response):
            message = f"{url} returns status {response.status_code}, and not as this service"
            yield error("service", message, "correct the address")
            return
        yield ok("service", f"{url} responds")
        yield from _check_clock(response)
        yield from _check_ready(http)
        yield from _check_access(http, url)
        response = http.get("/workers")
        if response.status_code in (401, 403):
            action = "set RICHREGIME_KEY to a key with the scope `read`"
            yield error("key", _detail(response), action)
            return
        yield from _check_version(http)
        yield from _check_workers(http, response.json()["items"])
        yield from _check_storage(http)


def _is_richregime(response: httpx.Response) -> bool:
    return (
        response.status_code == 200
        and "x-request-id" in response.headers
        and response.json() == {"status": "ok"}
    )


def _detail(response: httpx.Response) -> str:
    return str(response.json().get("detail", response.status_code))


def _check_clock(response: httpx.Response) -> Iterator[Finding]:
    date = response.headers.get("date")
    if date is None:
        return
    ahead = time.time() - parsedate_to_datetime(date).timestamp()
    if abs(ahead) > MAX_DATE_SKEW_SECONDS:
        message = f"this host's clock is {format_offset(ahead)} the service's"
        yield warning("clock", message, "synchronize both with NTP")
    else:
        yield ok("clock", "agrees with the service's")


def _check_ready(http: httpx.Client) -> Iterator[Finding]:
    response = http.get("/readyz")
    if response.status_code == 200:
        yield ok("ready", "database, broker and workers respond")
    else:
        action = "run `richregime doctor` without an address on the service's host for details"
        yield error("ready", _detail(response), action)


def _check_access(http: httpx.Client, url: str) -> Iterator[Finding]:
    address = httpx.URL(url)
    if is_loopback(address.host):
        return
    if address.scheme != "https":
        action = "put a proxy with TLS in front of the service (docs/how-to/access.md)"
        yield warning("access", "keys are sent unencrypted", action)
    if httpx.get(f"{url}/queue", timeout=TIMEOUT_SECONDS).status_code == 200:
        message = "anyone who reaches the service can use it: it requires no key"
        yield error("access", message, "run `richregime keys create` on its host")
    else:
        yield ok("access", "a key is required")


def _check_version(http: httpx.Client) -> Iterator[Finding]:
    version = http.get("/openapi.json").json()["info"]["version"]
    if version != SERVICE_VERSION:
        message = f"the service has version {version}, this host {SERVICE_VERSION}"
        yield warning("version", message, "install the same version on both")
    else:
        yield ok("version", version)


def _check_workers(http: httpx.Client, workers: list[Mapping[str, Any]]) -> Iterator[Finding]:
    listening = [worker for worker in workers if worker["listening"]]
    for worker in listening:
        ahead = worker["clock_ahead_seconds"] or 0.0
        if abs(ahead) > MAX_CLOCK_SKEW_SECONDS:
            message = f"the clock of {worker['host']} is {format_offset(ahead)} the database's"
            yield warning("workers", message, "synchronize it with NTP (`timedatectl`)")
    queue = http.get("/queue").json()
    slots = sum(worker["slots"] for worker in listening)
    waited = queue["oldest_queued_seconds"] or 0.0
    if listening and waited > LONG_WAIT_SECONDS and queue["running"] < slots:
        free = slots - queue["running"]
        message = f"a run has waited for {format_seconds(waited)} while {free} slots are free"
        action = (
            "check whether a worker has the device that the run needs; "
            "else wake-ups do not reach the workers: read their logs"
        )
        yield warning("runs", message, action)
    else:
        message = f"{queue['running']} running, {queue['queued']} waiting; {slots} slots"
        yield ok("runs", message)


def _check_storage(http: httpx.Client) -> Iterator[Finding]:
    response = http.get("/storage")
    if response.status_code != 200:
        return  # the key lacks the scope `admin`
    storage = response.json()
    orphans, free = storage["orphans"], storage["free_bytes"]
    if orphans["files"] > MAX_ORPHANS:
        message = f"{orphans['files']} unreferenced files"
        yield warning("leftovers", message, "run `richregime gc` on its host")
    if free is not None and free < LOW_DISK_BYTES:
        message = f"{free / 1e9:.1f} GB free"
        yield warning("files", message, "delete experiments, or use a larger disk")
    else:
        yield ok("files", f"{storage['bytes'] / 1e9:.1f} GB stored")
