"""The wall clock of this machine. It may jump: durations within a process use `time.monotonic`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from runtime import fault_points


def wall_clock() -> datetime:
    """The time of this machine in UTC; a test may shift it."""
    return datetime.now(UTC) + timedelta(seconds=fault_points.clock_shift())
