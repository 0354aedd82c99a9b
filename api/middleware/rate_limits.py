"""How often somebody may ask: counted by window of a minute, in the memory of this process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from api.http.problems import ProblemRaised
from schemas.problems import ProblemCode

WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a rate after a request was counted."""

    granted: bool
    headers: Mapping[str, str]
    """`RateLimit-Policy` and `RateLimit` as the IETF's draft has them; for a refusal `Retry-After` too, in seconds"""


class Rate:
    """So many a minute of each that is named. `name` is what the headers call it."""

    def __init__(self, name: str, per_minute: int) -> None:
        self._name, self._per_minute = name, per_minute
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def take(self, whom: str) -> Allowance:
        """Count one request."""
        item = RateLimitItemPerMinute(self._per_minute)
        granted = self._limiter.hit(item, whom)
        stats = self._limiter.get_window_stats(item, whom)
        seconds = max(1, ceil(stats.reset_time - time.time()))
        headers = {
            "RateLimit-Policy": f'"{self._name}";q={self._per_minute};w={WINDOW_SECONDS}',
            "RateLimit": f'"{self._name}";r={stats.remaining};t={seconds}',
        }
        return Allowance(granted, headers if granted else {**headers, "Retry-After": str(seconds)})

    def require(self, whom: str, what: str) -> Mapping[str, str]:
        """Count one request; its headers. Raises a 429 problem that says after how many seconds to try again."""
        allowance = self.take(whom)
        if not allowance.granted:
            detail = f"{what}: more than {self._per_minute:,} a minute; try again after {allowance.headers['Retry-After']} s"
            raise ProblemRaised(429, ProblemCode.RATE_LIMITED, detail, headers=allowance.headers)
        return allowance.headers
