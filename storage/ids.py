"""Prefixed ids that sort by the time they were made."""

from __future__ import annotations

import secrets
import time
from typing import Literal

Prefix = Literal["exp", "pt", "run", "art", "wrk"]


def new_id(prefix: Prefix) -> str:
    """E.g. `run_0192f3a1b2c4d9f0a1b2c3`: 48 bits of milliseconds, then 40 random bits, in hexadecimal."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(5)}"
