"""Checks of the deployment that the settings describe: host, broker, stored files, database."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ops.doctor.database_checks import check_database
from ops.doctor.file_system_check import check_file_system
from ops.doctor.findings import Finding, error, ok, warning
from ops.doctor.local_checks import (
    belongs_to_another_user,
    check_folder,
    check_privacy,
    check_variables,
    check_versions,
)
from runtime.settings import Settings
from storage.delivery.broker import broker_state
from storage.delivery.wake_ups import BrokerUnavailable
from storage.files.blobs import open_blobs

OLDEST_BROKER = (6, 2)
FULL_MEMORY_SHARE = 0.8
"""Share of the broker's memory limit; more in use is a warning."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check in turn; a check that needs something broken is left out."""
    yield from check_versions()
    yield from check_variables(os.environ)
    yield from check_folder("home", settings.home)
    yield from check_privacy(settings)
    yield from check_file_system(settings)
    yield from check_broker(settings)
    yield from check_blobs(settings)
    yield from check_database(settings)


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Whether the broker responds, is new enough, and keeps its messages."""
    try:
        state = broker_state(settings)
    except BrokerUnavailable as failure:
        yield _broker_unavailable(settings, failure)
        return
    if state.redis_version < OLDEST_BROKER:
        yield error("broker", f"{state.program} is too old", "use Valkey, or Redis 6.2 or newer")
    if state.max_bytes and state.eviction != "noeviction":
        message = f"it drops messages when its memory is full (maxmemory-policy {state.eviction})"
        yield error("broker", message, "set `maxmemory-policy noeviction`")
    if not state.can_write:
        yield error("broker", "its last write to disk failed", "check its log and its disk")
    if not state.keeps_messages:
        message = (
            f"{state.program} loses its messages at a restart; "
            "their wake-ups are sent again after 15 s"
        )
        yield warning("broker", message, "start it with `--appendonly yes`")
    elif state.max_bytes and state.used_bytes > FULL_MEMORY_SHARE * state.max_bytes:
        message = f"more than {FULL_MEMORY_SHARE:.0%} of its memory is in use"
        yield warning("broker", message, "raise its `maxmemory`")
    else:
        yield ok("broker", f"{state.program}, keeps its messages")


def _broker_unavailable(settings: Settings, failure: BrokerUnavailable) -> Finding:
    if settings.broker_url:
        name, action = "the broker of RICHREGIME_BROKER_URL", "start it, or correct the address"
    else:
        name, action = "the embedded broker", "`richregime up` starts it"
    message = f"{name} does not respond ({failure})"
    return error("broker", message, f"{action}; accepted runs wait until then")


def check_blobs(settings: Settings) -> Iterator[Finding]:
    """Whether a file can be stored, read by another process, and deleted."""
    subject = "files"
    place = settings.blob_url or str(settings.resolved_blob_dir)
    folder = settings.resolved_blob_dir
    if settings.blob_url is None and (not folder.exists() or belongs_to_another_user(folder)):
        # The check of the home reports this. Files that root creates here, the folder's owner
        # could not change.
        return
    content = secrets.token_bytes(64)
    try:
        with tempfile.TemporaryDirectory() as cache:
            # An object store keeps copies in its cache folder. A second store with another cache
            # reads what the first one has really stored.
            other = (
                settings.model_copy(update={"blob_dir": Path(cache)})
                if settings.blob_url
                else settings
            )
            store, reader = open_blobs(settings), open_blobs(other)
            blob = store.put(content)
            read = reader.read(blob.sha256)
            store.delete(blob.sha256)
            still_exists = reader.exists(blob.sha256)
    except Exception as failure:  # noqa: BLE001 - each store has its own errors; all mean the same
        reason = f"{type(failure).__name__}: {str(failure)[:200]}"
        action = (
            "check bucket, AWS_* variables and permissions"
            if settings.blob_url
            else "check owner and disk"
        )
        yield error(subject, f"{place}: storing and reading a file failed ({reason})", action)
        return
    if read != content or still_exists:
        problem = "still exists after its deletion" if still_exists else "differs when read again"
        yield error(subject, f"{place}: a file {problem}", "use a store with consistent reads")
    else:
        yield ok(subject, f"{place}: stored, read and deleted a file")
