"""Rate limits: requests per minute, counted in the memory of this process."""

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
class CountedRequest:
    """Whether a counted request is within the limit, and what is left of the limit."""

    granted: bool
    headers: Mapping[str, str]
    """`RateLimit-Policy` and `RateLimit` as in the IETF draft, and over the limit `Retry-After`."""


class RateLimit:
    """A limit of requests per minute for each client. name: the policy's name in the headers."""

    def __init__(self, name: str, per_minute: int) -> None:
        self._name, self._per_minute = name, per_minute
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def count(self, client: str) -> CountedRequest:
        """Count one request of the client, which is a key's id or an address."""
        item = RateLimitItemPerMinute(self._per_minute)
        granted = self._limiter.hit(item, client)
        stats = self._limiter.get_window_stats(item, client)
        seconds = max(1, ceil(stats.reset_time - time.time()))
        if seconds > WINDOW_SECONDS:
            # The clock was set back. The library would block the client until it arrives there.
            self._limiter.clear(item, client)
            return self.count(client)
        headers = {
            "RateLimit-Policy": f'"{self._name}";q={self._per_minute};w={WINDOW_SECONDS}',
            "RateLimit": f'"{self._name}";r={stats.remaining};t={seconds}',
        }
        return CountedRequest(
            granted, headers if granted else {**headers, "Retry-After": str(seconds)}
        )

    def require(self, client: str, what: str) -> Mapping[str, str]:
        """Count one request; returns the headers for its response.

        what: what is limited, for the detail of the 429 problem that is raised over the limit.
        """
        counted = self.count(client)
        if not counted.granted:
            wait = counted.headers["Retry-After"]
            detail = f"{what}: more than {self._per_minute:,} per minute; try again after {wait} s"
            raise ProblemRaised(429, ProblemCode.RATE_LIMITED, detail, headers=counted.headers)
        return counted.headers
