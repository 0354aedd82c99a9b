"""Workers that are registered and execute nothing."""

from __future__ import annotations

from storage.runs.workers import register_worker
from tests.api.api_server import ApiServer


def announce_worker(api_server: ApiServer, slots: int = 1, **labels: str) -> None:
    """Register a worker of 2 GiB."""
    with api_server.db.write() as session:
        register_worker(
            session,
            host="h",
            pid=1,
            device="cpu",
            device_class="cpu",
            slots=slots,
            versions={},
            memory_bytes=2 << 30,
            host_memory_bytes=2 << 30,
            labels=labels,
        )
