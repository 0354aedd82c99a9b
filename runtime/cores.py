"""The cores that this process may use."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path

GROUP = Path("/sys/fs/cgroup")


def count_cores(group: Path = GROUP) -> int:
    """At least 1: those of the process's affinity, or fewer where its control group has a quota.

    A container's quota (`docker run --cpus 2`) limits neither the machine's count nor the affinity.
    group: the folder of the control group, version 2 or 1; without a quota it changes nothing.
    """
    if hasattr(os, "sched_getaffinity"):
        available = len(os.sched_getaffinity(0))
    else:
        available = os.cpu_count() or 1
    quota = _read_quota(group)
    return max(1, available if quota is None else min(available, ceil(quota)))


def _read_quota(group: Path) -> float | None:
    """Cores, or None without a limit."""
    words = _read_words(group / "cpu.max") or [
        *_read_words(group / "cpu" / "cpu.cfs_quota_us"),
        *_read_words(group / "cpu" / "cpu.cfs_period_us"),
    ]
    if len(words) != 2 or not all(word.isdigit() for word in words) or not int(words[1]):
        return None
    return int(words[0]) / int(words[1])


def _read_words(path: Path) -> list[str]:
    """Empty where there is no such file."""
    try:
        return path.read_text().split()
    except OSError:
        return []
