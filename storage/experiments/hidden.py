"""Experiments that are being imported or deleted, which no request finds.

Many rows are written or deleted in slices, so that other writers of SQLite do not wait for seconds.
Until the last slice the experiment is hidden, so that nobody sees a part of it. What a process that
died left behind is deleted by the reconciler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import islice
from typing import Any

from sqlalchemy import delete, func, select, tuple_, update
from sqlmodel import Session

from storage.access.ownership import ALL_OWNERS
from storage.database.engine import Database, database_now
from storage.database.tables import ExperimentRow, MetricRow, RunRow
from storage.results.metrics import store_metrics

SLICE = 5_000
"""Metrics of one transaction: some 20 ms on SQLite"""
ABANDONED_SECONDS = 600.0
"""A hidden experiment that nobody has touched for so long is deleted"""


def has_many_metrics(session: Session, experiment_id: str) -> bool:
    """Whether the experiment has more metrics than one transaction should delete."""
    runs = select(RunRow.id).where(RunRow.experiment_id == experiment_id)
    some = select(MetricRow.step).where(MetricRow.run_id.in_(runs)).limit(SLICE + 1)
    found: int = session.execute(select(func.count()).select_from(some.subquery())).scalar_one()
    return found > SLICE


def store_metrics_of_hidden(
    db: Database, experiment_id: str, metrics: Iterable[Mapping[str, Any]]
) -> None:
    """Store the metrics of an experiment under import in slices."""
    rest = iter(metrics)
    while batch := list(islice(rest, SLICE)):
        with db.write(durable=False) as session:
            touch = update(ExperimentRow).where(ExperimentRow.id == experiment_id)
            session.execute(touch.values(hidden_at=database_now(session)))
            store_metrics(session, batch)


def remove_hidden(db: Database, experiment_id: str) -> None:
    """Delete the rows of a hidden experiment, its metrics in slices; nothing if there is none."""
    with db.read() as session:
        query = (
            select(RunRow.id)
            .join(ExperimentRow, ExperimentRow.id == RunRow.experiment_id)
            .where(ExperimentRow.id == experiment_id, ExperimentRow.hidden_at.is_not(None))
        )
        run_ids = list(session.scalars(query, execution_options=ALL_OWNERS))
    for run_id in run_ids:
        while _delete_slice(db, run_id) == SLICE:
            pass
    with db.write() as session:
        session.execute(
            delete(ExperimentRow).where(
                ExperimentRow.id == experiment_id, ExperimentRow.hidden_at.is_not(None)
            )
        )


def _delete_slice(db: Database, run_id: str) -> int:
    key = (MetricRow.name, MetricRow.seed, MetricRow.step)
    first = select(*key).where(MetricRow.run_id == run_id).limit(SLICE)
    with db.write(durable=False) as session:
        deleted = session.execute(
            delete(MetricRow).where(MetricRow.run_id == run_id, tuple_(*key).in_(first)),
            execution_options={"synchronize_session": False},
        )
        return int(deleted.rowcount)


def remove_abandoned(db: Database) -> None:
    """Delete what imports and deletions of processes that died left behind."""
    with db.read() as session:
        before = database_now(session) - timedelta(seconds=ABANDONED_SECONDS)
        abandoned = list(
            session.scalars(select(ExperimentRow.id).where(ExperimentRow.hidden_at < before))
        )
    for experiment_id in abandoned:
        remove_hidden(db, experiment_id)
