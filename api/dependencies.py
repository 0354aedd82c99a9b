"""What the routes work with: settings, database, files, the wake-up; one value an application."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request

from api.background.prometheus import PrometheusCollector, Remembered
from api.background.wake_ups import WakeUpSender
from api.background.webhook_sender import send_due_deliveries
from api.experiments.quotas import Quotas
from api.middleware.rate_limits import Rate
from runtime.settings import Settings
from schemas.access import Scope
from storage.access.audit import forget_entries
from storage.access.ownership import Viewer
from storage.database.engine import Database
from storage.delivery.wake_ups import WakeUps, make_celery
from storage.files.blobs import BlobStore, open_blobs
from storage.runs.reconcile import Reconciler, reconcile

log = logging.getLogger("richregime.api")

FORGET_SECONDS = 3600.0
"""How often old entries of the audit trail are deleted"""


@dataclass(frozen=True, slots=True)
class State:
    settings: Settings
    db: Database
    blobs: BlobStore
    wake_ups: WakeUpSender
    reconciler: Reconciler
    notifier: Reconciler
    """Sends the deliveries to webhooks; beside the reconciler, which must not wait for them"""
    watch: PrometheusCollector
    streams: threading.Semaphore
    closing: threading.Event
    failed_keys: Rate
    """By address"""
    refusals: Rate
    """By key: those that are recorded for want of a scope"""
    reads: Rate
    writes: Rate
    """By key"""
    quotas: Quotas
    owner: str | None = None
    """Of the key that the caller has shown; None where none was asked for"""


def make_state(settings: Settings) -> State:
    """Everything a running application holds; nothing is started yet."""
    db = Database(settings.resolved_database_url)
    blobs = open_blobs(settings)
    wake_ups = WakeUpSender(WakeUps(make_celery(settings)), db)

    kept = timedelta(days=settings.audit_days)
    forgetting = Remembered(lambda: forget_entries(db, kept), FORGET_SECONDS)

    def one_pass() -> None:
        reconcile(db, blobs, settings, wake_ups.send)
        forgetting.get()

    return State(
        settings,
        db,
        blobs,
        wake_ups,
        Reconciler(one_pass, settings.reconcile_seconds),
        Reconciler(
            lambda: send_due_deliveries(db, settings), settings.reconcile_seconds, name="notifier"
        ),
        PrometheusCollector(db, blobs, settings),
        threading.Semaphore(settings.max_sse_clients),
        threading.Event(),
        Rate("failed-keys", settings.max_failed_keys_per_minute),
        Rate("refusals", settings.max_failed_keys_per_minute),
        Rate("reads", settings.max_reads_per_minute),
        Rate("writes", settings.max_writes_per_minute),
        Quotas(db, settings),
    )


async def get_state(request: Request) -> State:
    """Its database shows the caller's rows alone, where a key is asked for, and records the request.

    Async though it waits for nothing: FastAPI has a thread at each request run what is not.
    """
    state: State = request.app.state.richregime
    caller = request.state.caller
    if caller is None:
        return replace(state, db=state.db.for_viewer(None, request.state.request_id))
    viewer = Viewer(
        caller.owner,
        sees_all=Scope.ADMIN in caller.scopes,
        key_id=caller.key_id,
        login=caller.login,
    )
    return replace(
        state, db=state.db.for_viewer(viewer, request.state.request_id), owner=caller.owner
    )


StateDep = Annotated[State, Depends(get_state)]
