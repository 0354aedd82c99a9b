"""A check-up of the deployment that the settings describe, from within: its database, broker, workers and files."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from api.middleware.request_middleware import is_loopback
from ops.doctor.findings import Finding, ok, warning, wrong
from ops.doctor.local_checks import (
    belongs_to_another,
    check_folder,
    check_variables,
    check_versions,
)
from runtime.settings import Settings
from runtime.version import SERVICE_VERSION
from schemas.resources import Worker
from schemas.status import RunStatus
from storage.access.keys import has_keys
from storage.database.engine import Database, DatabaseError, Session, database_now
from storage.delivery.broker import broker_state
from storage.delivery.wake_ups import BrokerUnavailable
from storage.files.blobs import open_blobs
from storage.files.retention import find_orphans
from storage.monitoring.health_checks import (
    GRACE_SECONDS,
    count_leftover_resume_state,
    count_overdue_deliveries,
    find_stuck_runs,
)
from storage.monitoring.snapshot import Snapshot, take_snapshot
from storage.runs.workers import list_workers

SKEW_SECONDS = 2.0
"""Clocks may differ by so much"""
OLDEST_BROKER = (6, 2)
MANY_ORPHANS = 100


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check in turn; what cannot be looked at because something before it is wrong is left out."""
    yield from check_versions()
    yield from check_variables(os.environ)
    yield from check_folder("home", settings.home)
    yield from check_broker(settings)
    yield from check_blobs(settings)
    yield from check_database(settings)


def check_broker(settings: Settings) -> Iterator[Finding]:
    try:
        state = broker_state(settings)
    except BrokerUnavailable as error:
        where = (
            "the broker of RICHREGIME_BROKER_URL" if settings.broker_url else "the embedded broker"
        )
        todo = (
            "start it, or correct the address"
            if settings.broker_url
            else "`richregime up` starts it"
        )
        yield wrong(
            "broker",
            f"{where} does not answer ({error})",
            f"{todo}; what is accepted waits meanwhile",
        )
        return
    if state.redis_version < OLDEST_BROKER:
        yield wrong("broker", f"{state.program} is too old", "use Valkey, or Redis 6.2 or newer")
    if state.max_bytes and state.eviction != "noeviction":
        found = f"it drops messages when its memory is full (maxmemory-policy {state.eviction})"
        yield wrong("broker", found, "set `maxmemory-policy noeviction`")
    if not state.can_write:
        yield wrong(
            "broker", "its last write to the disk failed", "look at its log and at its disk"
        )
    if not state.keeps_messages:
        found = (
            f"{state.program} keeps no messages over a restart; they are then rung again after 15 s"
        )
        yield warning("broker", found, "start it with `--appendonly yes`")
    elif state.max_bytes and state.used_bytes > 0.8 * state.max_bytes:
        yield warning("broker", "more than 80 % of its memory is used", "raise its `maxmemory`")
    else:
        yield ok("broker", f"{state.program}, keeps its messages")


def check_blobs(settings: Settings) -> Iterator[Finding]:
    """A file is stored, read from elsewhere and deleted."""
    about = "files"
    place = settings.blob_url or str(settings.resolved_blob_dir)
    folder = settings.resolved_blob_dir
    if settings.blob_url is None and (not folder.exists() or belongs_to_another(folder)):
        return  # as is the home, which was told already; what root makes there its owner could not change
    written = secrets.token_bytes(64)
    try:
        with tempfile.TemporaryDirectory() as elsewhere:
            # A store of objects keeps copies in its folder: a second one sees what the first has really stored.
            other = (
                settings.model_copy(update={"blob_dir": Path(elsewhere)})
                if settings.blob_url
                else settings
            )
            store, reader = open_blobs(settings), open_blobs(other)
            blob = store.put(written)
            read = reader.read(blob.sha256)
            store.delete(blob.sha256)
            stays = reader.exists(blob.sha256)
    except Exception as error:  # noqa: BLE001 - each store has errors of its own, and all mean the same
        found = f"{place}: a file could not be stored and read ({type(error).__name__}: {str(error)[:200]})"
        todo = (
            "check bucket, AWS_* variables and permissions"
            if settings.blob_url
            else "check owner and disk"
        )
        yield wrong(about, found, todo)
        return
    if read != written or stays:
        what = "is still there after it was deleted" if stays else "is not read as it was written"
        yield wrong(about, f"{place}: a file {what}", "the store must show each write at once")
    else:
        yield ok(about, f"{place}: stored, read and deleted")


def check_database(settings: Settings) -> Iterator[Finding]:
    """The database itself, then what its rows tell."""
    if settings.database_url is None and not (settings.home / "richregime.sqlite3").exists():
        yield warning(
            "database", "there is none yet", "the first start makes it; is RICHREGIME_HOME right?"
        )
        return
    db = Database(settings.resolved_database_url)
    try:
        schema = _check_schema(db)
        yield schema
        if schema.level > 0:
            return
        with db.read() as session:
            for check in (
                _check_clock,
                _check_workers,
                _check_runs,
                _check_deliveries,
                _check_leftovers,
            ):
                yield from check(session)
            yield from _check_access(session, settings)
        yield from _check_orphans(db, settings)
    except DatabaseError as error:
        found = f"it does not answer ({type(error).__name__}: {str(error.__cause__ or error)[:200].strip()})"
        yield wrong(
            "database",
            found,
            "start it, or correct RICHREGIME_DATABASE_URL; look at its log and disk",
        )
    finally:
        db.dispose()


def _check_schema(db: Database) -> Finding:
    kind = "SQLite" if db.is_sqlite else "Postgres"
    if db.schema_is_current():
        return ok("database", f"{kind}, its schema is this version's")
    if db.schema_is_newer():
        found = f"{kind}, its schema is of a later version"
        return warning(
            "database", found, f"bring this host to that version, too; it has {SERVICE_VERSION}"
        )
    todo = "stop the workers, `richregime db upgrade`, start everything (docs/how-to/operations.md)"
    return wrong("database", f"{kind}, its schema is of an earlier version", todo)


def _check_clock(session: Session) -> Iterator[Finding]:
    ahead = (datetime.now(UTC) - database_now(session)).total_seconds()
    if abs(ahead) > SKEW_SECONDS:
        found = f"this host's differs from the database's by {ahead:+.1f} s"
        yield warning(
            "clock",
            found,
            "let NTP keep both (`timedatectl`); signatures and logs carry this host's time",
        )
    else:
        yield ok("clock", "as the database's")


def _check_workers(session: Session) -> Iterator[Finding]:
    found = list_workers(session)
    listening = [worker for worker in found if worker.listening]
    yield from judge_workers(listening, take_snapshot(session))


def judge_workers(listening: list[Worker], snapshot: Snapshot) -> Iterator[Finding]:
    """Whether somebody listens for what waits, with this version and a clock that is right."""
    about = "workers"
    if not listening:
        yield wrong(about, "none listens", "start one: `richregime worker`, or `richregime up`")
        return
    names = ", ".join(
        f"{worker.host} ({worker.device}, {worker.slots} slots)" for worker in listening
    )
    yield ok(about, f"{len(listening)} listen: {names}")
    if snapshot.queued["gpu"] and not snapshot.workers["gpu"]:
        found = f"{snapshot.queued['gpu']} runs ask for a GPU, and no worker of one listens"
        yield warning(about, found, "`richregime worker --device gpu` on a host with a GPU")
    for worker in listening:
        ours, theirs = SERVICE_VERSION, worker.versions.get("richregime")
        if theirs != ours:
            yield warning(
                about,
                f"{worker.host} runs version {theirs}, this is {ours}",
                "bring all to one version",
            )
        if abs(worker.clock_ahead_seconds or 0.0) > SKEW_SECONDS:
            found = f"{worker.host}'s clock differs from the database's by {worker.clock_ahead_seconds:+.1f} s"
            yield warning(about, found, "let NTP keep it (`timedatectl`)")


def _check_runs(session: Session) -> Iterator[Finding]:
    stuck = find_stuck_runs(session)
    todo = "an API or a worker must run to take it back; look at the log of its worker, then end that process"
    for run_id, why in islice(stuck, 5):
        yield wrong("runs", f"{run_id}: {why}", todo)
    if len(stuck) > 5:
        yield wrong("runs", f"{len(stuck) - 5} more are stuck", todo)
    yield from judge_queue(take_snapshot(session), any_stuck=bool(stuck))


def judge_queue(snapshot: Snapshot, *, any_stuck: bool) -> Iterator[Finding]:
    """Whether somebody who has nothing to do leaves others waiting."""
    queued, running = snapshot.runs[RunStatus.QUEUED], snapshot.runs[RunStatus.RUNNING]
    free = sum(snapshot.slots.values()) - running
    served = snapshot.queued["any"] or any(
        snapshot.queued[name] and snapshot.slots[name] for name in ("cpu", "gpu")
    )
    if queued and served and free > 0 and snapshot.oldest_queued_seconds > GRACE_SECONDS:
        found = f"a run has waited for {snapshot.oldest_queued_seconds:.0f} s while {free} slots are free"
        yield wrong(
            "runs",
            found,
            "the wake-up does not reach the workers: is their broker this one? see their logs",
        )
    elif not any_stuck:
        yield ok("runs", f"{running} under way, {queued} wait, none is stuck")


def _check_deliveries(session: Session) -> Iterator[Finding]:
    overdue = count_overdue_deliveries(session)
    if overdue:
        todo = "an API must run, and be allowed out of the network; see its log"
        yield warning("webhooks", f"{overdue} deliveries were due more than a minute ago", todo)


def _check_leftovers(session: Session) -> Iterator[Finding]:
    files, size = count_leftover_resume_state(session)
    if files:
        found = f"resume state of runs that are over: {files} files, {size / 1e6:.1f} MB"
        yield warning("leftovers", found, "it goes with its experiment: delete or retry that")


def _check_access(session: Session, settings: Settings) -> Iterator[Finding]:
    if has_keys(session):
        yield ok("access", "a key is asked for")
    elif is_loopback(settings.host):
        yield ok("access", f"open, on {settings.host} alone")
    elif settings.allow_public:
        found = f"{settings.host} is open to whoever reaches it: RICHREGIME_ALLOW_PUBLIC is set and there is no key"
        yield warning(
            "access", found, "a proxy must ask for one, or make a key: `richregime keys create`"
        )
    else:
        found = f"the API will not start on {settings.host}: there is no key"
        yield wrong(
            "access", found, "`richregime keys create --owner NAME` (docs/how-to/access.md)"
        )


def _check_orphans(db: Database, settings: Settings) -> Iterator[Finding]:
    if settings.blob_url is None and not settings.resolved_blob_dir.exists():
        return
    orphans = find_orphans(db, open_blobs(settings))
    damaged = sorted((settings.home / "broker").glob("appendonlydir.damaged-*"))
    if damaged:
        found = f"{len(damaged)} folders of broker messages that could not be read, under {settings.home}/broker"
        yield warning("leftovers", found, "delete them: they held wake-ups, which were rung again")
    if len(orphans) > MANY_ORPHANS:
        found = (
            f"{len(orphans)} files of {sum(orphans.values()) / 1e6:.1f} MB that nothing refers to"
        )
        yield warning(
            "leftovers",
            found,
            "`richregime gc` deletes them; a running worker does so every ten minutes",
        )
    elif not damaged:
        yield ok("leftovers", f"{len(orphans)} files that nothing refers to")
