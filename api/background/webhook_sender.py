"""Sends due webhook deliveries: signed, only to checked addresses, within a time limit."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx

from api.background.slack_message import slack_body
from api.experiments.check_webhook import refuse_address
from engine.durations import format_seconds
from runtime.fault_points import reach
from runtime.settings import Settings
from runtime.version import SERVICE_VERSION
from schemas.webhooks import WebhookFormat, WebhookPayload, read_key
from storage.database.engine import Database
from storage.delivery.webhooks import (
    ClaimedDelivery,
    claim_deliveries,
    drop_excess,
    note_delivered,
    note_failed,
)

MAX_IN_FLIGHT = 32
"""Deliveries sent at once."""
RESOLVERS = ThreadPoolExecutor(2 * MAX_IN_FLIGHT, thread_name_prefix="resolve")
"""Names are resolved in threads of their own: a lookup cannot be cancelled, and may take long."""
LEASE_MARGIN_SECONDS = 30.0
"""Longer than storing the outcome of an attempt takes, even where the database is locked."""

log = logging.getLogger("richregime.deliveries")


class AddressRefused(Exception):
    """A host name resolves to an address that deliveries are not sent to."""


class NoSecret(Exception):
    """The service's own secret existed at the submission and is not set any more."""


def send_due_deliveries(db: Database, settings: Settings) -> None:
    """Claim due deliveries, send them, store each outcome; until none is due or under way.

    Those that become due meanwhile are sent too: nothing waits for a receiver that is slow.
    """
    asyncio.run(_send_due(db, settings))


async def _send_due(db: Database, settings: Settings) -> None:
    lease_seconds = settings.webhook_timeout_seconds + LEASE_MARGIN_SECONDS
    in_flight: dict[asyncio.Task[None], ClaimedDelivery] = {}
    async with open_client(settings) as http:
        while True:
            await asyncio.to_thread(drop_excess, db)
            claimed = await asyncio.to_thread(
                claim_deliveries,
                db,
                limit=MAX_IN_FLIGHT,
                lease_seconds=lease_seconds,
                in_flight=[*in_flight.values()],
            )
            for delivery in claimed:
                task = asyncio.create_task(_deliver(db, settings, http, delivery))
                in_flight[task] = delivery
            if not in_flight:
                return
            done, _ = await asyncio.wait(
                in_flight, timeout=settings.reconcile_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                delivery = in_flight.pop(task)
                error = task.exception()
                if error is not None:  # one bad row must not block the others
                    log.error(
                        "delivery %s: its outcome could not be stored", delivery.id, exc_info=error
                    )


def open_client(settings: Settings) -> httpx.AsyncClient:
    """A client that ignores the environment's proxies but uses its certificates."""
    return httpx.AsyncClient(
        trust_env=False, verify=httpx.create_ssl_context(), timeout=settings.webhook_timeout_seconds
    )


async def _deliver(
    db: Database, settings: Settings, http: httpx.AsyncClient, delivery: ClaimedDelivery
) -> None:
    if delivery.attempt > settings.webhook_attempts:
        await asyncio.to_thread(
            note_failed, db, delivery, "the sender was lost during the last attempt", None
        )
        return
    is_last = delivery.attempt == settings.webhook_attempts
    try:
        async with asyncio.timeout(settings.webhook_timeout_seconds):
            status_code = await send(http, settings, delivery)
        reach("delivery.1")
    except AddressRefused as refused:
        detail, is_last = str(refused), True
    except NoSecret:
        detail = "no secret to sign with: RICHREGIME_WEBHOOK_SECRET is not set"
    except (TimeoutError, httpx.TimeoutException):
        detail = f"no response within {format_seconds(settings.webhook_timeout_seconds)}"
    except (OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL) as error:
        detail = f"could not be reached ({type(error).__name__})"
    else:
        if 200 <= status_code < 300:
            await asyncio.to_thread(note_delivered, db, delivery, status_code)
            return
        detail = f"returned {status_code}"
    log.warning("delivery %s: attempt %d failed: %s", delivery.id, delivery.attempt, detail)
    wait = None if is_last else settings.webhook_retry_seconds * 2 ** (delivery.attempt - 1)
    await asyncio.to_thread(note_failed, db, delivery, detail, wait)


async def send(http: httpx.AsyncClient, settings: Settings, delivery: ClaimedDelivery) -> int:
    """Send once; returns the response's status. Redirects are not followed, the body is not read.

    Raises AddressRefused, NoSecret, OSError and httpx.HTTPError.
    """
    url = httpx.URL(delivery.url)
    body, key = _body_of(delivery, settings), _key_of(delivery, settings)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"richregime/{SERVICE_VERSION}",
        **({} if key is None else sign(key, delivery.id, int(time.time()), body)),
    }
    addresses = await _resolve(url)
    for address in addresses:
        why = refuse_address(address, url.host, settings)
        if why is not None:
            raise AddressRefused(why)
    *others, last = addresses
    for address in others:
        try:
            return await _post(http, url, address, body, headers)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            continue
    return await _post(http, url, last, body, headers)


async def _post(
    http: httpx.AsyncClient, url: httpx.URL, address: str, body: str, headers: Mapping[str, str]
) -> int:
    """Send to this address only; the certificate must match the host name."""
    request = http.build_request(
        "POST",
        url.copy_with(host=address),
        content=body.encode(),
        # Not kept open: another host with the same address must not use this connection.
        headers={"Host": url.netloc.decode("ascii"), "Connection": "close", **headers},
        extensions={"sni_hostname": url.raw_host.decode("ascii")},
    )
    response = await http.send(request, stream=True)
    await response.aclose()
    return response.status_code


def sign(key: bytes, delivery_id: str, timestamp: int, body: str) -> dict[str, str]:
    """The headers that Standard Webhooks defines."""
    mac = hmac.digest(key, f"{delivery_id}.{timestamp}.{body}".encode(), "sha256")
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def _body_of(delivery: ClaimedDelivery, settings: Settings) -> str:
    if delivery.format is WebhookFormat.SLACK:
        return slack_body(WebhookPayload.model_validate_json(delivery.body), settings.public_url)
    return delivery.body


def _key_of(delivery: ClaimedDelivery, settings: Settings) -> bytes | None:
    """The key that signs; None where nothing is signed. Raises NoSecret."""
    if delivery.secret is not None:
        return read_key(delivery.secret)
    if delivery.format is WebhookFormat.SLACK:
        return None
    if settings.webhook_secret is None:
        raise NoSecret
    return read_key(settings.webhook_secret.get_secret_value())


async def _resolve(url: httpx.URL) -> list[str]:
    """Every address that the host resolves to, in the order to try them. Raises OSError."""
    port = url.port or (443 if url.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    resolve = partial(socket.getaddrinfo, url.host, port, type=socket.SOCK_STREAM)
    found = await loop.run_in_executor(RESOLVERS, resolve)
    return [str(address[0]) for *_, address in found]
