"""What an owner may have, and all owners together: held against what they have before anything is added to it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from api.background.prometheus import Remembered
from api.http.problems import ProblemRaised
from engine.errors import FieldError
from runtime.settings import Settings
from schemas.problems import ProblemCode
from schemas.resources import Used
from schemas.status import RunStatus
from storage.access.quota_usage import count_active, count_metric_rows, count_stored_bytes
from storage.database.engine import Database, Session

COUNT_SECONDS = 60.0
"""How old the counts of bytes and metrics may be, for which many rows are read"""
TRY_AGAIN_SECONDS = 60
"""After a refusal for what waits"""


@dataclass(frozen=True, slots=True)
class Stored:
    num_bytes: int
    metric_rows: int


class Quotas:
    """The limits of one application. An `owner` of None is the one user of a service that asks for no key, whom the
    limits of all owners together bound alone."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db, self._settings = db, settings
        self._lock = threading.Lock()
        self._counts: dict[str | None, Remembered[Stored]] = {}

    def used(self, owner: str | None) -> Used:
        """What the owner has; without one, all."""
        with self._db.read() as session:
            active = count_active(session, owner)
        stored = self._stored(owner)
        return Used(
            queued=active[RunStatus.QUEUED],
            running=active[RunStatus.RUNNING],
            bytes=stored.num_bytes,
            metric_rows=stored.metric_rows,
        )

    def find_stored_errors(
        self, owner: str | None, num_bytes: int = 1, metric_rows: int = 1
    ) -> list[FieldError]:
        """Every limit of what is stored that so much more would be over; by default, what runs will store."""
        settings, found = self._settings, []
        if owner is not None:
            own, whose = self._stored(owner), "of yours are stored"
            limits = settings.limit_bytes_per_owner, settings.limit_metrics_per_owner
            found += _over(
                "limit_bytes_per_owner", f"bytes {whose}", own.num_bytes, num_bytes, limits[0]
            )
            found += _over(
                "limit_metrics_per_owner",
                f"metrics {whose}",
                own.metric_rows,
                metric_rows,
                limits[1],
            )
        if settings.max_stored_bytes is not None or settings.max_metric_rows is not None:
            whole, limits_of_all = (
                self._stored(None),
                (settings.max_stored_bytes, settings.max_metric_rows),
            )
            found += _over(
                "max_stored_bytes", "bytes are stored", whole.num_bytes, num_bytes, limits_of_all[0]
            )
            found += _over(
                "max_metric_rows",
                "metrics are stored",
                whole.metric_rows,
                metric_rows,
                limits_of_all[1],
            )
        return found

    def find_queue_errors(
        self, session: Session, owner: str | None, num_runs: int
    ) -> list[FieldError]:
        """Every limit of what waits that so many runs more would be over, as this transaction sees it."""
        found, settings = [], self._settings
        if owner is not None:
            queued = count_active(session, owner)[RunStatus.QUEUED]
            limit = settings.limit_queued_per_owner
            found += _over("limit_queued_per_owner", "runs of yours wait", queued, num_runs, limit)
        queued = count_active(session, None)[RunStatus.QUEUED]
        return [
            *found,
            *_over("max_queued_runs", "runs wait", queued, num_runs, settings.max_queued_runs),
        ]

    def require_stored(self, owner: str | None, num_bytes: int, metric_rows: int = 0) -> None:
        """Refuse what would be over a limit of what is stored; what is not refused is counted from now on."""
        refuse_any(self.find_stored_errors(owner, num_bytes, metric_rows))
        with self._lock:
            self._counts.pop(owner, None)
            self._counts.pop(None, None)

    def _stored(self, owner: str | None) -> Stored:
        with self._lock:
            counts = self._counts.setdefault(
                owner, Remembered(lambda: self._count(owner), COUNT_SECONDS)
            )
        return counts.get()

    def _count(self, owner: str | None) -> Stored:
        with self._db.read() as session:
            return Stored(count_stored_bytes(session, owner), count_metric_rows(session, owner))


def refuse_any(stored: Sequence[FieldError], waiting: Sequence[FieldError] = ()) -> None:
    """Raises one problem with all errors: 422 where something must be deleted first, 429 where waiting helps."""
    errors = [*stored, *waiting]
    if not errors:
        return
    headers = {} if stored else {"Retry-After": str(TRY_AGAIN_SECONDS)}
    detail = "; ".join(error.detail for error in errors)
    raise ProblemRaised(422 if stored else 429, ProblemCode.LIMIT_EXCEEDED, detail, errors, headers)


def _over(name: str, what: str, value: int, adding: int, limit: int | None) -> list[FieldError]:
    if limit is None or value + adding <= limit:
        return []
    added = f" and this adds {adding:,}" if adding > 1 else ""
    detail = f"{name}: {value:,} {what}{added}; the limit is {limit:,}"
    return [FieldError("#", ProblemCode.LIMIT_EXCEEDED, detail)]
