"""Metrics by run, seed, name and step: write them under a fence, read them by experiment or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from storage.database.tables import MetricRow, PointRow, RunRow
from storage.runs.transitions import holds_run

METRIC = MetricRow.__table__
"""Rows are inserted through the table: as objects they take twice as long."""
MetricValue = tuple[int, str, int, float | None]
"""(seed, name, step, value)"""


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value of a metric."""

    point: int
    seed: int
    name: str
    step: int
    value: float | None


def write_metrics(session: Session, run_id: str, fence: int, values: Sequence[MetricValue]) -> bool:
    """Store the values, replacing those of the same (seed, name, step).

    False, and nothing stored, for a lost fence.
    """
    if not holds_run(session, run_id, fence):
        return False
    if values:
        last = {(seed, name, step): value for seed, name, step, value in values}
        store_metrics(
            session,
            [
                {"run_id": run_id, "seed": seed, "name": name, "step": step, "value": value}
                for (seed, name, step), value in last.items()
            ],
        )
    return True


def store_metrics(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows in order; each replaces the row of the same run, name, seed and step."""
    insert: Any = (
        sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    )
    statement = insert(METRIC)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["run_id", "name", "seed", "step"],
            set_={"value": statement.excluded.value},
        ),
        rows,
    )


def read_metrics(
    session: Session,
    *,
    experiment_id: str | None = None,
    run_id: str | None = None,
    names: Sequence[str] | None = None,
    indices: Sequence[int] | None = None,
) -> list[MetricPoint]:
    """The values of one experiment or of one run, by point, seed, name and step.

    Pass either experiment_id or run_id. names: None reads every metric. indices: of the points to
    read; None reads all.
    """
    assert (experiment_id is None) != (run_id is None)
    query = (
        select(PointRow.index, MetricRow.seed, MetricRow.name, MetricRow.step, MetricRow.value)
        .join(RunRow, RunRow.id == MetricRow.run_id)
        .join(PointRow, PointRow.id == RunRow.point_id)
        .order_by(PointRow.index, MetricRow.seed, MetricRow.name, MetricRow.step)
    )
    query = (
        query.where(RunRow.experiment_id == experiment_id)
        if run_id is None
        else query.where(RunRow.id == run_id)
    )
    if names is not None:
        query = query.where(MetricRow.name.in_(list(names)))
    if indices is not None:
        query = query.where(PointRow.index.in_(list(indices)))
    return [MetricPoint(*row) for row in session.execute(query)]


def seed_metrics(session: Session, run_id: str, seed: int) -> list[tuple[str, int, float | None]]:
    """(name, step, value) of one seed of a run, by name and step."""
    query = (
        select(MetricRow.name, MetricRow.step, MetricRow.value)
        .where(MetricRow.run_id == run_id, MetricRow.seed == seed)
        .order_by(MetricRow.name, MetricRow.step)
    )
    return [(name, step, value) for name, step, value in session.execute(query)]
