"""Cordons: workers that finish what they run and claim no more, until they are uncordoned.

A cordon names one worker by its id, or a host: then also workers that start there later.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, delete, or_, select
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import Session

from storage.access.ownership import ALL_OWNERS
from storage.database.engine import database_now
from storage.database.tables import CordonRow, WorkerRow
from storage.errors import NotFound

CORDON, WORKER = CordonRow.__table__, WorkerRow.__table__
_OF_PARENT = select(CORDON.c.hand_back).where(
    or_(
        CORDON.c.name == bindparam("host"),
        CORDON.c.name.in_(
            select(WORKER.c.id).where(
                WORKER.c.host == bindparam("host"), WORKER.c.pid == bindparam("pid")
            )
        ),
    )
)
"""Built once: each claim and each heartbeat executes it"""


def set_cordon(session: Session, name: str, *, hand_back: bool) -> None:
    """Cordon the worker with this id, or all of this host; a repeated call sets `hand_back` anew.

    hand_back: what runs there is also saved and queued again. Raises NotFound where no worker of
    the last day has this id or host.
    """
    _require_worker(session, name)
    row = session.get(CordonRow, name, with_for_update=True)
    if row is None:
        row = CordonRow(name=name, hand_back=hand_back, since=database_now(session))
    row.hand_back = hand_back
    session.add(row)
    session.flush()


def remove_cordon(session: Session, name: str) -> bool:
    """Uncordon; False where there is no such cordon. Raises NotFound as `set_cordon`."""
    removed = session.execute(delete(CordonRow).where(CordonRow.name == name))
    if not removed.rowcount:
        _require_worker(session, name)
    return bool(removed.rowcount)


def _require_worker(session: Session, name: str) -> None:
    query = select(WorkerRow.id).where(or_(WorkerRow.id == name, WorkerRow.host == name)).limit(1)
    if session.execute(query).first() is None:
        raise NotFound(
            f"there is no worker and no host {name[:80]!r}; GET /workers lists those of the last "
            "day"
        )


def find_cordon(session: Session, worker: str | None) -> bool | None:
    """Whether the runs of this worker process, `host:parent:child`, are handed back; None where
    it is not cordoned."""
    host, _, rest = (worker or "").partition(":")
    pid = rest.partition(":")[0]
    parameters: dict[str, Any] = {"host": host, "pid": int(pid) if pid.isdecimal() else -1}
    found = session.execute(_OF_PARENT, parameters, execution_options=ALL_OWNERS).scalars().all()
    return any(found) if found else None


def is_not_cordoned() -> ColumnElement[bool]:
    """A condition on rows of the workers."""
    cordoned = select(CORDON.c.name)
    return and_(WORKER.c.id.not_in(cordoned), WORKER.c.host.not_in(cordoned))


def forget_cordons(session: Session, worker_id: str | None = None) -> None:
    """Delete the cordon of this worker, which ends; without an id, of those that are gone."""
    if worker_id is not None:
        session.execute(delete(CordonRow).where(CordonRow.name == worker_id))
        return
    gone = CordonRow.name.startswith("wrk_", autoescape=True) & CordonRow.name.not_in(
        select(WorkerRow.id)
    )
    session.execute(delete(CordonRow).where(gone))
