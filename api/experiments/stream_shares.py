"""Bounds the open event streams: of all owners together, and of each owner."""

from __future__ import annotations

import threading
from collections import Counter

from api.http.problems import ProblemRaised
from engine.errors import FieldError
from runtime.settings import Settings
from schemas.problems import ProblemCode

RETRY_AFTER = {"Retry-After": "10"}


class StreamShares:
    """The open event streams of one application.

    An owner of None is the only user of a service without keys: only the limit of all applies.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._open: Counter[str | None] = Counter()

    def open(self, owner: str | None) -> None:
        """Count a stream of the owner; it must be closed again.

        Raises a 429 problem over the owner's limit, and a 503 problem over that of all.
        """
        total, share = self._settings.max_sse_clients, self._settings.limit_streams_per_owner
        with self._lock:
            if owner is not None and self._open[owner] >= share:
                detail = (
                    f"limit_streams_per_owner: {share} event streams of yours are open; the limit "
                    f"is {share}. Close one, or read the JSON pages"
                )
                error = FieldError("#", ProblemCode.LIMIT_EXCEEDED, detail)
                raise ProblemRaised(
                    429, ProblemCode.LIMIT_EXCEEDED, detail, [error], headers=RETRY_AFTER
                )
            if self._open.total() >= total:
                detail = f"{total} event streams are open; this is the limit"
                raise ProblemRaised(503, ProblemCode.UNAVAILABLE, detail, headers=RETRY_AFTER)
            self._open[owner] += 1

    def close(self, owner: str | None) -> None:
        with self._lock:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]
