"""The hardware of this machine, as results name it. Imports no torch."""

from __future__ import annotations

import platform
from functools import cache


@cache
def describe_processor() -> str:
    """The CPU's model if the system reports it, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        return platform.machine()
    return platform.processor() or platform.machine()
