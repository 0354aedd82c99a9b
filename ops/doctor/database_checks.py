"""Checks of the database, and of what its rows say about workers, runs, deliveries and access."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

from api.middleware.request_middleware import is_loopback
from engine.durations import format_offset, format_seconds
from ops.doctor.findings import Finding, Level, error, ok, warning
from runtime.settings import Settings
from runtime.version import SERVICE_VERSION
from schemas.resources import Worker
from schemas.status import RunStatus
from storage.access.keys import has_keys
from storage.database.engine import Database, DatabaseError, Session, database_now
from storage.files.blobs import open_blobs
from storage.files.retention import find_orphans
from storage.monitoring.health_checks import (
    GRACE_SECONDS,
    count_leftover_resume_state,
    count_overdue_deliveries,
    find_stuck_runs,
)
from storage.monitoring.snapshot import Snapshot, take_snapshot
from storage.runs.waiting import describe_absence
from storage.runs.workers import count_absent, list_workers

MAX_CLOCK_SKEW_SECONDS = 2.0
"""Clocks may differ by so much."""
MAX_ORPHANS = 100
"""More unreferenced files are a warning."""
MAX_STUCK_RUNS_LISTED = 5


def check_database(settings: Settings) -> Iterator[Finding]:
    """The database and its schema, then its rows. Creates no database."""
    if settings.database_url is None and not (settings.home / "richregime.sqlite3").exists():
        action = "the first start creates it; check RICHREGIME_HOME"
        yield warning("database", "there is no database yet", action)
        return
    db = Database(settings.resolved_database_url)
    try:
        schema = _check_schema(db)
        yield schema
        if schema.level is not Level.OK:
            return
        with db.read() as session:
            yield from _check_rows(session, settings)
        yield from _check_orphans(db, settings)
    except DatabaseError as failure:
        reason = str(failure.__cause__ or failure)[:200].strip()
        yield error(
            "database",
            f"it does not respond ({type(failure).__name__}: {reason})",
            "start it, or correct RICHREGIME_DATABASE_URL; check its log and disk",
        )
    finally:
        db.dispose()


def _check_rows(session: Session, settings: Settings) -> Iterator[Finding]:
    yield from _check_clock(session)
    yield from _check_workers(session)
    yield from _check_runs(session)
    yield from _check_deliveries(session)
    yield from _check_leftovers(session)
    yield _check_access(session, settings)


def _check_schema(db: Database) -> Finding:
    dialect = "SQLite" if db.is_sqlite else "Postgres"
    if db.schema_is_current():
        return ok("database", f"{dialect}, schema up to date")
    if db.schema_is_newer():
        message = f"{dialect}, its schema belongs to a later version than {SERVICE_VERSION}"
        return warning("database", message, "install that version on this host")
    action = (
        "stop the workers, run `richregime db upgrade`, start everything "
        "(docs/how-to/operations.md)"
    )
    return error("database", f"{dialect}, its schema belongs to an earlier version", action)


def _check_clock(session: Session) -> Iterator[Finding]:
    ahead = (datetime.now(UTC) - database_now(session)).total_seconds()
    if abs(ahead) > MAX_CLOCK_SKEW_SECONDS:
        yield warning(
            "clock",
            f"this host's clock is {format_offset(ahead)} the database's",
            "synchronize both with NTP (`timedatectl`); signatures and logs use this host's clock",
        )
    else:
        yield ok("clock", "agrees with the database's")


def _check_workers(session: Session) -> Iterator[Finding]:
    listening = [worker for worker in list_workers(session) if worker.listening]
    if listening:
        yield from _judge_workers(listening, take_snapshot(session))
    else:
        action = "start one: `richregime worker`, or `richregime up`"
        yield error("workers", describe_absence(count_absent(session)), action)


def _judge_workers(listening: list[Worker], snapshot: Snapshot) -> Iterator[Finding]:
    """Whether workers listen for all queued runs, with this version and a correct clock."""
    subject = "workers"
    names = ", ".join(
        f"{worker.host} ({worker.device}, {worker.slots} slots)" for worker in listening
    )
    yield ok(subject, f"{len(listening)} listening: {names}")
    if snapshot.queued["gpu"] and not snapshot.workers["gpu"]:
        message = f"{snapshot.queued['gpu']} runs need a GPU, and no GPU worker is listening"
        action = "start `richregime worker --device gpu` on a host with a GPU"
        yield warning(subject, message, action)
    for worker in listening:
        version, ahead = worker.versions.get("richregime"), worker.clock_ahead_seconds or 0.0
        if version != SERVICE_VERSION:
            message = f"{worker.host} has version {version}, this host {SERVICE_VERSION}"
            yield warning(subject, message, "install the same version everywhere")
        if abs(ahead) > MAX_CLOCK_SKEW_SECONDS:
            message = f"the clock of {worker.host} is {format_offset(ahead)} the database's"
            yield warning(subject, message, "synchronize it with NTP (`timedatectl`)")


def _check_runs(session: Session) -> Iterator[Finding]:
    stuck = find_stuck_runs(session)
    action = (
        "start an API or a worker, which queues it again; "
        "else read the log of the run's worker and end that process"
    )
    for run_id, reason in islice(stuck, MAX_STUCK_RUNS_LISTED):
        yield error("runs", f"{run_id}: {reason}", action)
    if len(stuck) > MAX_STUCK_RUNS_LISTED:
        yield error("runs", f"{len(stuck) - MAX_STUCK_RUNS_LISTED} more are stuck", action)
    yield from _judge_queue(take_snapshot(session), any_stuck=bool(stuck))


def _judge_queue(snapshot: Snapshot, *, any_stuck: bool) -> Iterator[Finding]:
    """Whether runs wait although slots are free."""
    queued, running = snapshot.runs[RunStatus.QUEUED], snapshot.runs[RunStatus.RUNNING]
    free = sum(snapshot.slots.values()) - running
    has_device = snapshot.queued["any"] or any(
        snapshot.queued[name] and snapshot.slots[name] for name in ("cpu", "gpu")
    )
    waited = snapshot.oldest_queued_seconds
    if queued and has_device and free > 0 and waited > GRACE_SECONDS:
        yield error(
            "runs",
            f"a run has waited for {format_seconds(waited)} while {free} slots are free",
            "wake-ups do not reach the workers: check that all use this broker; read their logs",
        )
    elif not any_stuck:
        yield ok("runs", f"{running} running, {queued} waiting, none is stuck")


def _check_deliveries(session: Session) -> Iterator[Finding]:
    overdue = count_overdue_deliveries(session)
    if overdue:
        message = f"{overdue} deliveries are overdue by more than {format_seconds(GRACE_SECONDS)}"
        action = "start an API that can reach the receivers; read its log"
        yield warning("webhooks", message, action)


def _check_leftovers(session: Session) -> Iterator[Finding]:
    files, size = count_leftover_resume_state(session)
    if files:
        message = f"resume state of ended runs: {files} files, {size / 1e6:.1f} MB"
        yield warning("leftovers", message, "delete or retry the experiments of these runs")


def _check_access(session: Session, settings: Settings) -> Finding:
    if has_keys(session):
        return ok("access", "a key is required")
    if is_loopback(settings.host):
        return ok("access", f"no key is required; only {settings.host} is served")
    if settings.allow_public:
        message = (
            f"anyone who reaches {settings.host} can use the service: "
            "RICHREGIME_ALLOW_PUBLIC is set and there is no key"
        )
        action = "let a proxy authenticate users, or create a key: `richregime keys create`"
        return warning("access", message, action)
    message = f"the API does not start on {settings.host}: there is no key"
    action = "run `richregime keys create --owner NAME` (docs/how-to/access.md)"
    return error("access", message, action)


def _check_orphans(db: Database, settings: Settings) -> Iterator[Finding]:
    if settings.blob_url is None and not settings.resolved_blob_dir.exists():
        return
    orphans = find_orphans(db, open_blobs(settings))
    damaged = sorted((settings.home / "broker").glob("appendonlydir.damaged-*"))
    if damaged:
        message = (
            f"{len(damaged)} folders of broker messages that could not be read, "
            f"in {settings.home}/broker"
        )
        yield warning("leftovers", message, "delete them: their wake-ups were sent again")
    if len(orphans) > MAX_ORPHANS:
        yield warning(
            "leftovers",
            f"{len(orphans)} unreferenced files, {sum(orphans.values()) / 1e6:.1f} MB",
            "run `richregime gc`; a running worker deletes them every ten minutes",
        )
    elif not damaged:
        yield ok("leftovers", f"{len(orphans)} unreferenced files")
