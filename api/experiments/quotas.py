"""Quotas: what one owner, and all owners together, may store and queue."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.background.cached_value import CachedValue
from api.http.problems import ProblemRaised
from engine.errors import FieldError
from runtime.settings import Settings
from schemas.problems import ProblemCode
from schemas.resources import Used
from schemas.status import RunStatus
from storage.access.quota_usage import count_active, count_metric_rows, count_stored_bytes
from storage.database.engine import Database, Session
from storage.database.tables import ExperimentRow

if TYPE_CHECKING:
    from api.dependencies import State

COUNT_TTL_SECONDS = 60.0
"""How old the counts of bytes and metrics may be: they read many rows."""
RETRY_AFTER_SECONDS = 60
"""After a refusal because of queued runs."""


@dataclass(frozen=True, slots=True)
class Stored:
    num_bytes: int
    metric_rows: int


class Quotas:
    """The quotas of one application.

    An owner of None is the only user of a service without keys. Only the limits of all owners
    together apply to them.
    """

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db, self._settings = db, settings
        self._lock = threading.Lock()
        self._counts: dict[str | None, CachedValue[Stored]] = {}

    def used(self, owner: str | None) -> Used:
        """What the owner uses; for None, what all use."""
        with self._db.read() as session:
            active = count_active(session, owner)
        stored = self._stored(owner)
        return Used(
            queued=active[RunStatus.QUEUED],
            running=active[RunStatus.RUNNING],
            bytes=stored.num_bytes,
            metric_rows=stored.metric_rows,
        )

    def find_storage_errors(
        self, owner: str | None, num_bytes: int = 1, metric_rows: int = 1
    ) -> list[FieldError]:
        """An error for each storage limit that this addition would exceed.

        The defaults stand for runs: whatever they store, it is more than nothing.
        """
        settings, errors = self._settings, []
        if owner is not None:
            own = self._stored(owner)
            errors += _check_limit(
                "limit_bytes_per_owner",
                "bytes of yours are stored",
                own.num_bytes,
                num_bytes,
                settings.limit_bytes_per_owner,
            )
            errors += _check_limit(
                "limit_metrics_per_owner",
                "metrics of yours are stored",
                own.metric_rows,
                metric_rows,
                settings.limit_metrics_per_owner,
            )
        if settings.max_stored_bytes is not None or settings.max_metric_rows is not None:
            total = self._stored(None)
            errors += _check_total(
                owner,
                "max_stored_bytes",
                "bytes are stored",
                total.num_bytes,
                num_bytes,
                settings.max_stored_bytes,
            )
            errors += _check_total(
                owner,
                "max_metric_rows",
                "metrics are stored",
                total.metric_rows,
                metric_rows,
                settings.max_metric_rows,
            )
        return errors

    def find_queue_errors(
        self, session: Session, owner: str | None, num_runs: int
    ) -> list[FieldError]:
        """An error for each queue limit that these runs would exceed, within the transaction."""
        settings, errors = self._settings, []
        if owner is not None:
            errors += _check_limit(
                "limit_queued_per_owner",
                "runs of yours are queued",
                count_active(session, owner)[RunStatus.QUEUED],
                num_runs,
                settings.limit_queued_per_owner,
            )
        errors += _check_limit(
            "max_queued_runs",
            "runs are queued",
            count_active(session, None)[RunStatus.QUEUED],
            num_runs,
            settings.max_queued_runs,
        )
        return errors

    def require_storage(self, owner: str | None, num_bytes: int, metric_rows: int = 0) -> None:
        """Raises a problem over a storage limit. Otherwise the next check counts anew."""
        refuse_if_any(self.find_storage_errors(owner, num_bytes, metric_rows))
        with self._lock:
            self._counts.pop(owner, None)
            self._counts.pop(None, None)

    def _stored(self, owner: str | None) -> Stored:
        with self._lock:
            counts = self._counts.setdefault(
                owner, CachedValue(lambda: self._count_stored(owner), COUNT_TTL_SECONDS)
            )
        return counts.get()

    def _count_stored(self, owner: str | None) -> Stored:
        with self._db.read() as session:
            return Stored(count_stored_bytes(session, owner), count_metric_rows(session, owner))


def require_quota(state: State, session: Session, row: ExperimentRow, *, num_runs: int) -> None:
    """Raises a problem where the experiment's owner may not add these runs.

    The quota is the owner's, also where an admin sends the request.
    """
    owner = None if state.owner is None else row.owner
    refuse_if_any(
        state.quotas.find_storage_errors(owner),
        state.quotas.find_queue_errors(session, owner, num_runs),
    )


def refuse_if_any(
    storage_errors: Sequence[FieldError], queue_errors: Sequence[FieldError] = ()
) -> None:
    """Raises one problem with all errors: 422 if data must be deleted, 429 if waiting helps."""
    errors = [*storage_errors, *queue_errors]
    if not errors:
        return
    status = 422 if storage_errors else 429
    headers = {} if storage_errors else {"Retry-After": str(RETRY_AFTER_SECONDS)}
    detail = "; ".join(error.detail for error in errors)
    raise ProblemRaised(status, ProblemCode.LIMIT_EXCEEDED, detail, errors, headers)


def _check_total(
    owner: str | None, name: str, what: str, value: int, added: int, limit: int | None
) -> list[FieldError]:
    """As `_check_limit`, for what all owners store; an owner is not told how much that is."""
    errors = _check_limit(name, what, value, added, limit)
    if owner is None or not errors:
        return errors
    detail = f"{name}: all owners together have no room for this; the limit is {limit:,}"
    return [FieldError("#", ProblemCode.LIMIT_EXCEEDED, detail)]


def _check_limit(
    name: str, what: str, value: int, added: int, limit: int | None
) -> list[FieldError]:
    if limit is None or value + added <= limit:
        return []
    addition = f" and this adds {added:,}" if added > 1 else ""
    detail = f"{name}: {value:,} {what}{addition}; the limit is {limit:,}"
    return [FieldError("#", ProblemCode.LIMIT_EXCEEDED, detail)]
