"""Read the broker's version, limits and persistence."""

from __future__ import annotations

import re
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from runtime.settings import Settings
from storage.delivery.wake_ups import BrokerUnavailable, direct_address


@dataclass(frozen=True, slots=True)
class BrokerState:
    """What the broker reports about itself."""

    program: str
    """`valkey` or `redis`, with its version"""
    redis_version: tuple[int, ...]
    """The Redis version that it is compatible with"""
    keeps_messages: bool
    """Whether messages survive a restart"""
    can_write: bool
    """Whether its last writes to disk succeeded"""
    max_bytes: int
    """Memory limit; 0: none"""
    used_bytes: int
    eviction: str
    """What it does at the limit; `noeviction` drops nothing"""


def broker_state(settings: Settings) -> BrokerState:
    """Raises BrokerUnavailable."""
    try:
        with Redis.from_url(
            direct_address(settings), socket_timeout=3, socket_connect_timeout=3
        ) as connection:
            info = connection.info()
    except (RedisError, OSError, ValueError) as error:
        raise BrokerUnavailable(type(error).__name__) from error
    name = "valkey" if "valkey_version" in info else "redis"
    redis_version = str(info["redis_version"])
    return BrokerState(
        program=f"{name} {info.get('valkey_version', redis_version)}",
        redis_version=tuple(int(part) for part in re.findall(r"\d+", redis_version)),
        keeps_messages=bool(info["aof_enabled"]),
        can_write=info.get("aof_last_write_status") == info.get("rdb_last_bgsave_status") == "ok",
        max_bytes=int(info["maxmemory"]),
        used_bytes=int(info["used_memory"]),
        eviction=str(info["maxmemory_policy"]),
    )
