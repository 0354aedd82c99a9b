"""Rate limits: requests and CPU time per minute, counted in the memory of this process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from api.http.problems import ProblemRaised
from engine.durations import format_seconds
from schemas.problems import ProblemCode

WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class CountedRequest:
    """Whether a counted request is within the limit, and what is left of the limit."""

    granted: bool
    left: int
    headers: Mapping[str, str]
    """`RateLimit-Policy` and `RateLimit` as in the IETF draft, and over the limit `Retry-After`."""


class RateLimit:
    """A limit of requests per minute for each client. name: the policy's name in the headers."""

    def __init__(self, name: str, per_minute: int) -> None:
        self._name, self._per_minute = name, per_minute
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def count(self, client: str, cost: int = 1) -> CountedRequest:
        """Count one request of the client, which is a key's id or an address."""
        item = RateLimitItemPerMinute(self._per_minute)
        granted = self._limiter.hit(item, client, cost=cost)
        stats = self._limiter.get_window_stats(item, client)
        seconds = max(1, ceil(stats.reset_time - time.time()))
        if seconds > WINDOW_SECONDS:
            # The clock was set back. The library would block the client until it arrives there.
            self._limiter.clear(item, client)
            return self.count(client, cost)
        headers = {
            "RateLimit-Policy": f'"{self._name}";q={self._per_minute};w={WINDOW_SECONDS}',
            "RateLimit": f'"{self._name}";r={stats.remaining};t={seconds}',
        }
        if not granted:
            headers["Retry-After"] = str(seconds)
        return CountedRequest(granted, stats.remaining, headers)

    def require(self, client: str, what: str) -> Mapping[str, str]:
        """Count one request; returns the headers for its response.

        what: what is limited, for the detail of the 429 problem that is raised over the limit.
        """
        counted = self.count(client)
        if not counted.granted:
            wait = format_seconds(float(counted.headers["Retry-After"]))
            detail = f"{what}: more than {self._per_minute:,} per minute; try again after {wait}"
            raise ProblemRaised(429, ProblemCode.RATE_LIMITED, detail, headers=counted.headers)
        return counted.headers


class CpuLimit:
    """A limit of CPU seconds per minute for each key.

    A request may start while anything is left, and is charged what it has taken: one key can exceed
    the limit by the requests that it has under way.
    """

    def __init__(self, seconds_per_minute: float) -> None:
        self._seconds = seconds_per_minute
        self._milliseconds = RateLimit("cpu-milliseconds", round(1000 * seconds_per_minute))

    def charge(self, key_id: str, seconds: float) -> Mapping[str, str]:
        """Charge the key; returns the headers that say what is left."""
        headers = dict(self._milliseconds.count(key_id, round(1000 * seconds)).headers)
        headers.pop("Retry-After", None)
        return headers

    def require_left(self, key_id: str) -> None:
        """Raises a 429 problem where the key has nothing left."""
        counted = self._milliseconds.count(key_id, 0)
        if counted.left:
            return
        counted = self._milliseconds.count(key_id)  # over the limit, so with `Retry-After`
        wait, taken = float(counted.headers["Retry-After"]), format_seconds(self._seconds)
        detail = (
            f"the requests with the key {key_id} have taken {taken} of CPU time within "
            "a minute, which is the limit (max_cpu_seconds_per_minute); try again after "
            f"{format_seconds(wait)}"
        )
        raise ProblemRaised(429, ProblemCode.RATE_LIMITED, detail, headers=counted.headers)


def join_rates(*rates: Mapping[str, str]) -> dict[str, str]:
    """The headers of several limits as one list each."""
    return {name: ", ".join(rate[name] for rate in rates if name in rate) for name in rates[0]}
