"""Worker processes: register, mark as seen, list, count their slots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import bindparam, delete, func, not_, or_, select, update
from sqlmodel import Session

from runtime.clock import wall_clock
from schemas.resources import Worker
from schemas.status import RunStatus
from storage.access.ownership import ALL_OWNERS
from storage.database.engine import as_utc, database_now
from storage.database.ids import new_id
from storage.database.json_columns import readable
from storage.database.tables import CordonRow, RunRow, WorkerRow
from storage.runs.cordons import forget_cordons, is_not_cordoned
from storage.runs.placement import Capacity, format_labels
from storage.runs.waiting import AbsentWorkers

LISTENING_SECONDS = 15
"""A worker not seen for longer counts as gone; so does one that was last seen that far in the
future, before the clock was set back: a worker that runs has reported since"""

RUN, WORKER = RunRow.__table__, WorkerRow.__table__
# Built once, from table columns: every response with an experiment and every wake-up executes them,
# and rows of the session are slower.
_LISTENING = select(
    *(
        WORKER.c[name]
        for name in (
            "device_class",
            "memory_bytes",
            "host_memory_bytes",
            "labels",
            "slots",
            "host",
            "pid",
        )
    )
).where(
    WORKER.c.seen_at > bindparam("since"),
    WORKER.c.seen_at < bindparam("until"),
    WORKER.c.slots > 0,
    is_not_cordoned(),
)
_ABSENT = (
    select(is_not_cordoned().label("takes_runs"), func.count())
    .select_from(WORKER)
    .where(
        WORKER.c.seen_at.between(bindparam("since"), bindparam("until")),
        or_(WORKER.c.slots == 0, not_(is_not_cordoned())),
    )
    .group_by("takes_runs")
)
_BUSY = (
    select(RUN.c.worker, func.count())
    .where(RUN.c.status == RunStatus.RUNNING)
    .group_by(RUN.c.worker)
)

_ANY_QUEUED = select(RUN.c.id).where(RUN.c.status == RunStatus.QUEUED).limit(1)


def register_worker(
    session: Session,
    *,
    host: str,
    pid: int,
    device: str,
    device_class: str,
    slots: int,
    memory_bytes: int,
    versions: Mapping[str, str],
    host_memory_bytes: int = 0,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Store a worker process and return its id; deletes workers not seen for a day."""
    now = database_now(session)
    session.execute(delete(WorkerRow).where(WorkerRow.seen_at < now - timedelta(days=1)))
    forget_cordons(session)
    row = WorkerRow(
        id=new_id("wrk"),
        host=host,
        pid=pid,
        device=device,
        device_class=device_class,
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


def note_worker_seen(session: Session, worker_id: str, slots: int) -> bool:
    """Store that this worker, the caller, is alive, its ready slots, and how far its clock is
    ahead. False where it has no row, which it must then register anew."""
    now = database_now(session)
    ahead = (wall_clock() - now).total_seconds()
    updated = session.execute(
        update(WorkerRow)
        .where(WorkerRow.id == worker_id)
        .values(seen_at=now, slots=slots, clock_ahead_seconds=ahead)
    )
    return bool(updated.rowcount)


def remove_worker(session: Session, worker_id: str) -> None:
    """Delete the row of a worker that shuts down."""
    session.execute(delete(WorkerRow).where(WorkerRow.id == worker_id))
    forget_cordons(session, worker_id)


def list_workers(session: Session) -> list[Worker]:
    """The registered workers, oldest first."""
    now = database_now(session)
    busy = _runs_by_parent(session)
    cordons = {row.name: row for row in session.scalars(select(CordonRow))}
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
                    "gpu_memory": row.memory_bytes if row.device_class == "gpu" else None,
                    "runs": busy.get(f"{row.host}:{row.pid}", []),
                    "cordon": _cordon_of(row, cordons),
                    "listening": row.slots > 0
                    and not {row.id, row.host} & cordons.keys()
                    and abs((now - seen).total_seconds()) < LISTENING_SECONDS,
                }
            )
        )
    return found


def _cordon_of(row: WorkerRow, cordons: Mapping[str, CordonRow]) -> dict[str, Any] | None:
    """That of the host before its own."""
    found = [cordons[name] for name in (row.host, row.id) if name in cordons]
    if not found:
        return None
    return {**found[0].model_dump(), "hand_back": any(one.hand_back for one in found)}


def _runs_by_parent(session: Session) -> dict[str, list[str]]:
    """Ids of running runs by the `host:pid` of the worker."""
    busy: dict[str, list[str]] = {}
    running = select(RunRow.worker, RunRow.id).where(RunRow.status == RunStatus.RUNNING)
    for worker, run_id in session.execute(running):
        busy.setdefault(_parent_of(worker), []).append(run_id)
    return busy


def _parent_of(worker: str | None) -> str:
    """`host:pid` of the worker from the name `host:pid:child` of its child process."""
    return ":".join((worker or "").split(":")[:2])


def count_idle(session: Session) -> dict[Capacity, int]:
    """Idle slots of listening workers by capacity; counts the runs of all owners."""
    busy: Counter[str] = Counter()
    for worker, runs in session.execute(_BUSY, execution_options=ALL_OWNERS):
        busy[_parent_of(worker)] += runs
    idle: Counter[Capacity] = Counter()
    for capacity, slots, worker in _listening(session):
        idle[capacity] += max(0, slots - busy[worker])
    return idle


def count_free(session: Session) -> dict[Capacity, int]:
    """Idle slots by capacity, for runs that are still to be stored; none while other runs wait."""
    if session.execute(_ANY_QUEUED, execution_options=ALL_OWNERS).first() is not None:
        return {}
    return count_idle(session)


def count_offered(session: Session) -> dict[Capacity, int]:
    """Slots of listening workers by capacity."""
    offered: Counter[Capacity] = Counter()
    for capacity, slots, _ in _listening(session):
        offered[capacity] += slots
    return offered


def _listening(session: Session) -> Iterator[tuple[Capacity, int, str]]:
    """(capacity, slots, `host:pid`) of each listening worker."""
    found = session.execute(_LISTENING, _seen_between(session), execution_options=ALL_OWNERS)
    for device_class, memory, host_memory, labels, slots, host, pid in found:
        yield (
            Capacity(device_class, memory, host_memory, format_labels(readable(labels))),
            slots,
            f"{host}:{pid}",
        )


def _seen_between(session: Session) -> dict[str, datetime]:
    now, seconds = database_now(session), timedelta(seconds=LISTENING_SECONDS)
    return {"since": now - seconds, "until": now + seconds}


def count_absent(session: Session) -> AbsentWorkers:
    """Running worker processes that take no runs."""
    found = session.execute(_ABSENT, _seen_between(session), execution_options=ALL_OWNERS)
    counts = {bool(takes_runs): int(number) for takes_runs, number in found}
    return AbsentWorkers(not_ready=counts.get(True, 0), cordoned=counts.get(False, 0))


def count_listening(session: Session) -> dict[str, int]:
    """Slots of listening workers, as `slots_by_device_class` counts them."""
    return slots_by_device_class(count_offered(session))


def slots_by_device_class(offered: Mapping[Capacity, int]) -> dict[str, int]:
    """Slots by device class; without CPU workers, GPU workers also count as `cpu`."""
    counts: Counter[str] = Counter()
    for capacity, slots in offered.items():
        counts[capacity.device_class] += slots
    if "gpu" in counts:
        counts.setdefault("cpu", counts["gpu"])
    return counts
