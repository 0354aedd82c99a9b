"""The state of one application: settings, database, files, background threads, limits."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request

from api.background.cached_value import CachedValue
from api.background.prometheus import PrometheusCollector
from api.background.wake_ups import WakeUpSender
from api.background.webhook_sender import send_due_deliveries
from api.experiments.quotas import Quotas
from api.experiments.stream_shares import StreamShares
from api.middleware.rate_limits import CpuLimit, RateLimit
from runtime.settings import Settings
from schemas.access import Scope, allows
from storage.access.audit import forget_entries
from storage.access.ownership import Viewer
from storage.database.engine import Database
from storage.delivery.wake_ups import WakeUps, make_celery
from storage.files.blobs import BlobStore, open_blobs
from storage.runs.clock_watch import ClockWatch
from storage.runs.reconcile import Reconciler, reconcile_in_turn

log = logging.getLogger("richregime.api")

AUDIT_CLEANUP_SECONDS = 3600.0
"""How often old entries of the audit trail are deleted."""


@dataclass(frozen=True, slots=True)
class State:
    settings: Settings
    db: Database
    blobs: BlobStore
    wake_ups: WakeUpSender
    reconciler: Reconciler
    webhook_sender: Reconciler
    """Sends webhook deliveries; a thread of its own, so that the reconciler does not wait."""
    prometheus: PrometheusCollector
    streams: StreamShares
    closing: threading.Event
    """Set when the application shuts down."""
    failed_keys: RateLimit
    """Requests with an invalid key, per client address."""
    recorded_refusals: RateLimit
    """Refusals for a missing scope that the audit trail records, per key."""
    reads: RateLimit
    """Per key."""
    writes: RateLimit
    """Per key."""
    cpu: CpuLimit
    """Per key."""
    quotas: Quotas
    owner: str | None = None
    """The owner of the request's key; None where the service requires no key."""
    sees_all: bool = True
    """Whether the request sees the data of all owners: an admin's, or without keys."""
    scopes: tuple[Scope, ...] = tuple(Scope)
    """What the request's key may do; everything where the service requires no key."""


def make_state(settings: Settings) -> State:
    """The state of a new application; no thread is started yet."""
    db = Database(settings.resolved_database_url)
    blobs = open_blobs(settings)
    wake_ups = WakeUpSender(WakeUps(make_celery(settings)), db)

    keep = timedelta(days=settings.audit_days)
    clock = ClockWatch(settings.lease_seconds, settings.reconcile_seconds)
    audit_cleanup = CachedValue(lambda: forget_entries(db, keep), AUDIT_CLEANUP_SECONDS)

    def one_pass() -> None:
        reconcile_in_turn(db, blobs, settings, wake_ups.send, clock)
        audit_cleanup.get()

    return State(
        settings,
        db,
        blobs,
        wake_ups,
        Reconciler(one_pass, settings.reconcile_seconds),
        Reconciler(
            lambda: send_due_deliveries(db, settings),
            settings.reconcile_seconds,
            name="webhook-sender",
        ),
        PrometheusCollector(db, blobs, settings),
        StreamShares(settings),
        threading.Event(),
        RateLimit("failed-keys", settings.max_failed_keys_per_minute),
        RateLimit("refusals", settings.max_failed_keys_per_minute),
        RateLimit("reads", settings.max_reads_per_minute),
        RateLimit("writes", settings.max_writes_per_minute),
        CpuLimit(settings.max_cpu_seconds_per_minute),
        Quotas(db, settings),
    )


async def get_state(request: Request) -> State:
    """The application's state for one request: its database shows only the rows of the key's owner.

    It is async although it never waits: FastAPI would run it in a thread otherwise.
    """
    state: State = request.app.state.richregime
    identity = request.state.identity
    if identity is None:
        return replace(state, db=state.db.for_viewer(None, request.state.request_id))
    viewer = Viewer(
        identity.owner,
        sees_all=Scope.ADMIN in identity.scopes,
        key_id=identity.key_id,
        login=identity.login,
    )
    db = state.db.for_viewer(viewer, request.state.request_id)
    allowed = tuple(scope for scope in Scope if allows(identity.scopes, scope))
    return replace(state, db=db, owner=identity.owner, sees_all=viewer.sees_all, scopes=allowed)


StateDep = Annotated[State, Depends(get_state)]
