"""What the routes work with: settings, database, files, the bell; one value an application."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request

from api.background.prometheus import Remembered, Watch
from api.background.webhook_sender import send_due_notices
from api.experiments.quotas import Quotas
from api.middleware.rate_limits import Rate
from runtime.settings import Settings
from schemas.access import Scope
from storage.access.audit import forget_entries
from storage.access.ownership import Viewer
from storage.database.engine import Database, DatabaseError
from storage.delivery.wake_ups import BrokerUnavailable, Doorbell, make_celery
from storage.files.blobs import BlobStore, open_blobs
from storage.runs.placement import Needs
from storage.runs.reconcile import Reconciler, reconcile
from storage.runs.workers import count_idle

log = logging.getLogger("richregime.api")

BELL_SECONDS = 0.02
"""From one look at who is idle to the next: a lone submission is rung for at once, those of a burst together"""
FORGET_SECONDS = 3600.0
"""How often old entries of the audit trail are deleted"""


class Bell:
    """Rings from a thread of its own: a request never waits for the broker, and a lost bell is rung again later."""

    def __init__(self, doorbell: Doorbell, db: Database) -> None:
        self._doorbell, self._db = doorbell, db
        self._waiting: queue.Queue[Sequence[tuple[str, Needs]] | None] = queue.Queue(maxsize=10_000)
        self._thread = threading.Thread(target=self._loop, name="bell", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._waiting.put(None)
        self._thread.join(timeout=3)

    def ring(self, runs: Sequence[tuple[str, Needs]]) -> None:
        """Ring soon for these (run id, needs); forgets what it cannot keep: the reconciler rings again."""
        try:
            self._waiting.put_nowait(runs)
        except queue.Full:
            log.warning("too many bells wait; %d runs are rung later", len(runs))

    def _loop(self) -> None:
        while (runs := self._waiting.get()) is not None:
            looked_at = time.monotonic()
            bells = [*runs, *self._take_waiting()]
            try:
                with self._db.read() as session:
                    idle = count_idle(session)
                self._doorbell.ring(bells, idle)
            except (BrokerUnavailable, DatabaseError) as error:
                log.warning(
                    "the bell could not be rung (%s); queued runs are rung later",
                    type(error).__name__,
                )
            time.sleep(max(0.0, looked_at + BELL_SECONDS - time.monotonic()))

    def _take_waiting(self) -> list[tuple[str, Needs]]:
        """The bells that have come in meanwhile, up to a request to stop."""
        taken: list[tuple[str, Needs]] = []
        while True:
            try:
                runs = self._waiting.get_nowait()
            except queue.Empty:
                return taken
            if runs is None:
                self._waiting.put(None)
                return taken
            taken += runs


@dataclass(frozen=True, slots=True)
class State:
    settings: Settings
    db: Database
    blobs: BlobStore
    bell: Bell
    reconciler: Reconciler
    notifier: Reconciler
    """Sends the notices to webhooks; beside the reconciler, which must not wait for them"""
    watch: Watch
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
    bell = Bell(Doorbell(make_celery(settings)), db)

    kept = timedelta(days=settings.audit_days)
    forgetting = Remembered(lambda: forget_entries(db, kept), FORGET_SECONDS)

    def one_pass() -> None:
        reconcile(db, blobs, settings, bell.ring)
        forgetting.get()

    return State(
        settings,
        db,
        blobs,
        bell,
        Reconciler(one_pass, settings.reconcile_seconds),
        Reconciler(
            lambda: send_due_notices(db, settings), settings.reconcile_seconds, name="notifier"
        ),
        Watch(db, blobs, settings),
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
        return replace(state, db=state.db.seen_by(None, request.state.request_id))
    viewer = Viewer(
        caller.owner,
        sees_all=Scope.ADMIN in caller.scopes,
        key_id=caller.key_id,
        login=caller.login,
    )
    return replace(state, db=state.db.seen_by(viewer, request.state.request_id), owner=caller.owner)


StateDep = Annotated[State, Depends(get_state)]
