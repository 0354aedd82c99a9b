"""Notices that the database's clock has jumped, or that this process was paused.

Leases are times of the database's clock. After its jump ahead, and after a pause of the whole
machine, leases look expired although their workers are well: they need a moment to renew them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime

from engine.durations import format_seconds

PAUSE_SHARE = 1 / 2
"""A pass that is late by more than this share of a lease tells of a pause"""
JUMP_SHARE = 1 / 6
MIN_JUMP_SECONDS = 1.0
"""Smaller differences come from slow queries and from clocks that are being adjusted"""

log = logging.getLogger("richregime.reconciler")


class ClockWatch:
    """Compares the database's clock with this process's own one at each pass of a reconciler.

    Each process has its own. pass_seconds: between two passes. own_clock: for tests.
    """

    def __init__(
        self,
        lease_seconds: float,
        pass_seconds: float,
        own_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease_seconds, self._own_clock = lease_seconds, own_clock
        self._max_pass = pass_seconds + lease_seconds * PAUSE_SHARE
        self._max_jump = max(MIN_JUMP_SECONDS, lease_seconds * JUMP_SHARE)
        self._last: tuple[datetime, float] | None = None
        self._settled_at = float("-inf")

    @property
    def is_settled(self) -> bool:
        """False for the time of one lease after a jump ahead or a pause: nothing expires then."""
        return self._own_clock() >= self._settled_at

    def compare(self, now: datetime) -> None:
        """Compare with `now`, just read from the database; log a jump or a pause."""
        own_now = self._own_clock()
        last, self._last = self._last, (now, own_now)
        if last is None:
            return
        passed = own_now - last[1]
        jump = (now - last[0]).total_seconds() - passed
        if jump < -self._max_jump:
            log.warning(
                "the clock was set back by %s; leases end relative to it", format_seconds(-jump)
            )
        if jump > self._max_jump:
            self._wait(own_now, f"the clock jumped ahead by {format_seconds(jump)}")
        elif passed > self._max_pass:
            self._wait(own_now, f"this process was paused for {format_seconds(passed)}")

    def _wait(self, own_now: float, what: str) -> None:
        if own_now < self._settled_at + self._lease_seconds:
            # Else leases would never end where every pass is slow.
            log.warning("%s, again within seconds", what)
            return
        log.warning(
            "%s; no lease ends within the next %s", what, format_seconds(self._lease_seconds)
        )
        self._settled_at = own_now + self._lease_seconds
