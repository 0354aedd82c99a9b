"""Who works, on what device, and when it was last seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from sqlalchemy import bindparam, delete, func, select, update
from sqlmodel import Session

from schemas.resources import Worker
from schemas.status import RunStatus
from storage.db import as_utc, database_now
from storage.fitting import Capacity, write_labels
from storage.ids import new_id
from storage.tables import RunRow, WorkerRow

LISTENING_SECONDS = 15
"""A worker not seen for so long is taken to be gone."""


_RUNNING = select(RunRow.owner, RunRow.id).where(RunRow.status == RunStatus.RUNNING)
_LISTENING = select(WorkerRow).where(WorkerRow.seen_at > bindparam("since"))
_SLOTS = (
    select(WorkerRow.queue, func.sum(WorkerRow.slots))
    .where(WorkerRow.seen_at > bindparam("since"))
    .group_by(WorkerRow.queue)
)
"""Built once, as every answer of an experiment asks it: that takes longer than its answer does."""


def register_worker(
    session: Session,
    *,
    host: str,
    pid: int,
    device: str,
    queue: str,
    slots: int,
    memory_bytes: int,
    versions: Mapping[str, str],
    host_memory_bytes: int = 0,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Announce a worker process; returns its id. Rows of workers long gone are cleared on the way."""
    now = database_now(session)
    session.execute(delete(WorkerRow).where(WorkerRow.seen_at < now - timedelta(days=1)))
    row = WorkerRow(
        id=new_id("wrk"),
        host=host,
        pid=pid,
        device=device,
        queue=queue,
        slots=slots,
        memory_bytes=memory_bytes,
        host_memory_bytes=host_memory_bytes,
        labels=dict(labels),
        versions=dict(versions),
        started_at=now,
        seen_at=now,
    )
    session.add(row)
    return row.id


def note_worker_seen(session: Session, worker_id: str) -> None:
    """The worker, which calls this itself, is alive."""
    now = database_now(session)
    ahead = (datetime.now(UTC) - now).total_seconds()
    session.execute(
        update(WorkerRow).where(WorkerRow.id == worker_id).values(seen_at=now, clock_ahead_seconds=ahead)
    )


def remove_worker(session: Session, worker_id: str) -> None:
    """The worker has gone by itself."""
    session.execute(delete(WorkerRow).where(WorkerRow.id == worker_id))


def list_workers(session: Session) -> list[Worker]:
    """Workers of the last day, by age."""
    now = database_now(session)
    busy = _runs_by_parent(session)
    found = []
    for row in session.scalars(select(WorkerRow).order_by(WorkerRow.id)):
        seen = as_utc(row.seen_at)
        assert seen is not None
        found.append(
            Worker.model_validate(
                {
                    **row.model_dump(exclude={"pid", "versions", "labels"}),
                    "versions": row.readable("versions"),
                    "unreadable": row.unreadable,
                    "labels": row.readable("labels"),
                    "gpu_memory": row.memory_bytes if row.queue == "gpu" else None,
                    "runs": busy.get(f"{row.host}:{row.pid}", []),
                    "listening": (now - seen).total_seconds() < LISTENING_SECONDS,
                }
            )
        )
    return found


def _runs_by_parent(session: Session) -> dict[str, list[str]]:
    """Runs under way by the `host:pid` of the worker."""
    busy: dict[str, list[str]] = {}
    for owner, run_id in session.execute(_RUNNING):
        busy.setdefault(":".join((owner or "").split(":")[:2]), []).append(run_id)
    return busy


def count_idle(session: Session) -> dict[Capacity, int]:
    """Slots without a run of the workers that listen, by what these offer. The session must see every owner's rows."""
    busy = _runs_by_parent(session)
    idle: Counter[Capacity] = Counter()
    for row in _listening(session):
        idle[_offered(row)] += max(0, row.slots - len(busy.get(f"{row.host}:{row.pid}", [])))
    return idle


def list_offers(session: Session) -> set[Capacity]:
    """What the workers that listen offer, each once."""
    return {_offered(row) for row in _listening(session)}


def _listening(session: Session) -> Iterable[WorkerRow]:
    since = database_now(session) - timedelta(seconds=LISTENING_SECONDS)
    return session.scalars(_LISTENING, {"since": since})


def _offered(row: WorkerRow) -> Capacity:
    labels = write_labels(row.readable("labels"))
    return Capacity(row.queue, row.memory_bytes, row.host_memory_bytes, labels)


def count_listening(session: Session) -> dict[str, int]:
    """Slots of listening workers by queue. A GPU's worker computes what must run on a CPU where nobody else does."""
    since = database_now(session) - timedelta(seconds=LISTENING_SECONDS)
    counts = {queue: int(slots) for queue, slots in session.execute(_SLOTS, {"since": since})}
    if "gpu" in counts:
        counts.setdefault("cpu", counts["gpu"])
    return counts
