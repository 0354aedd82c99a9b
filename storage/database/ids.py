"""Prefixed ids that sort by the time they were made."""

from __future__ import annotations

import secrets
import time
from typing import Literal

Prefix = Literal["exp", "pt", "run", "art", "wrk", "whk", "msg", "rrk", "aud"]


def new_id(prefix: Prefix) -> str:
    """E.g. `run_18a3f0c2b4d9f0a1b2c3d4`: 64 bits of nanoseconds, then 24 random bits, in hexadecimal.

    Ids made one after the other in a process sort in that order: so do the runs and artifacts that carry them.
    """
    return f"{prefix}_{time.time_ns():016x}{secrets.token_hex(3)}"
