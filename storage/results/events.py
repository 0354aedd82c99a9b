"""The append-only event log of an experiment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select, update
from sqlmodel import Session

from schemas.events import Event
from storage.database.engine import as_utc, database_now
from storage.database.tables import EventRow, ExperimentRow


def append_event(
    session: Session,
    experiment_id: str,
    name: str,
    data: Mapping[str, Any],
    run_id: str | None = None,
) -> int:
    """Append an event and return its sequence number.

    Numbers count from 1 without gaps: the update of the counter locks the experiment's row.
    """
    sequence = session.execute(
        update(ExperimentRow)
        .where(ExperimentRow.id == experiment_id)
        .values(last_event=ExperimentRow.last_event + 1)
        .returning(ExperimentRow.last_event)
    ).scalar_one()
    session.add(
        EventRow(
            experiment_id=experiment_id,
            sequence=sequence,
            run_id=run_id,
            name=name,
            data=dict(data),
            at=database_now(session),
        )
    )
    return int(sequence)


def list_events(session: Session, experiment_id: str, after: int, limit: int) -> list[Event]:
    """The events after sequence number `after`, oldest first."""
    rows = session.scalars(
        select(EventRow)
        .where(EventRow.experiment_id == experiment_id, EventRow.sequence > after)
        .order_by(EventRow.sequence)
        .limit(limit)
    )
    return _read(rows)


def newest_events(
    session: Session, experiment_id: str, limit: int, without: str, run_id: str | None = None
) -> list[Event]:
    """The newest `limit` events whose name is not `without`, newest first.

    run_id: only events of this run.
    """
    query = select(EventRow).where(
        EventRow.experiment_id == experiment_id, EventRow.name != without
    )
    if run_id is not None:
        query = query.where(EventRow.run_id == run_id)
    return _read(session.scalars(query.order_by(EventRow.sequence.desc()).limit(limit)))


def _read(rows: Iterable[EventRow]) -> list[Event]:
    return [
        Event.model_validate(
            {
                "sequence": row.sequence,
                "name": row.name,
                "run_id": row.run_id,
                "at": as_utc(row.at),
                "data": row.readable("data"),
                "unreadable": row.unreadable,
            }
        )
        for row in rows
    ]
