"""Ids with a prefix that sort by creation time."""

from __future__ import annotations

import secrets
import time
from typing import Literal

Prefix = Literal["exp", "pt", "run", "art", "wrk", "whk", "msg", "rrk", "aud"]


def new_id(prefix: Prefix) -> str:
    """For example `run_18a3f0c2b4d9f0a1b2c3d4`: 64 bits of nanoseconds and 24 random bits, in hex.

    Successive ids of one process sort in their order of creation.
    """
    return f"{prefix}_{time.time_ns():016x}{secrets.token_hex(3)}"
