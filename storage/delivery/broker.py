"""What a broker tells of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from runtime.settings import Settings
from storage.delivery.wake_ups import BrokerUnavailable, socket_path


@dataclass(frozen=True, slots=True)
class BrokerState:
    program: str
    """`valkey` or `redis`, with its version"""
    redis_version: tuple[int, ...]
    """The version of Redis that it is compatible with"""
    keeps_messages: bool
    """Whether they outlive its restart"""
    can_write: bool
    """Whether its last writes to the disk went well"""
    max_bytes: int
    """0: as many as there are"""
    used_bytes: int
    eviction: str
    """What it does when these are used up; `noeviction` drops nothing"""


def broker_state(settings: Settings) -> BrokerState:
    """Raises BrokerUnavailable."""
    address = settings.broker_url or f"unix://{socket_path(settings)}"
    try:
        with Redis.from_url(address, socket_timeout=3, socket_connect_timeout=3) as connection:
            told = connection.info()
    except (RedisError, OSError, ValueError) as error:
        raise BrokerUnavailable(type(error).__name__) from error
    name = "valkey" if "valkey_version" in told else "redis"
    speaks = str(told["redis_version"])
    return BrokerState(
        program=f"{name} {told.get('valkey_version', speaks)}",
        speaks=tuple(int(part) for part in re.findall(r"\d+", speaks)),
        keeps_messages=bool(told["aof_enabled"]),
        can_write=told.get("aof_last_write_status") == told.get("rdb_last_bgsave_status") == "ok",
        max_bytes=int(told["maxmemory"]),
        used_bytes=int(told["used_memory"]),
        eviction=str(told["maxmemory_policy"]),
    )
