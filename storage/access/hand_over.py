"""Hand the work of one owner over to another, such as work from before the first key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, delete, exists, func, select, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, SQLModel

from schemas.audit import Action
from storage.access.audit import record
from storage.access.ownership import NOBODY, OWNED_TABLES
from storage.database.tables import DatasetRow, ExperimentRow, IdempotencyRow, RunRow, WeightsRow
from storage.errors import NameTaken
from storage.runs.claim_order import claim_group_of
from storage.runs.placement import Needs

NAMES: Mapping[type[SQLModel], str] = {
    ExperimentRow: "experiments",
    RunRow: "runs",
    DatasetRow: "data sets",
    WeightsRow: "checkpoints",
    IdempotencyRow: "idempotency keys",
}
"""Every table with an owner that can change, and what its rows are called"""
MAX_NAMED = 5


def count_work(session: Session, owner: str) -> dict[str, int]:
    """How many rows of each kind belong to `owner`; kinds without rows are left out.

    An experiment that is being imported or deleted is not counted.
    """
    found = {
        name: session.scalar(
            select(func.count()).select_from(table).where(_is_movable(table, owner))
        )
        for table, name in NAMES.items()
    }
    return {name: count for name, count in found.items() if count}


def hand_over(session: Session, source: str, target: str) -> dict[str, int]:
    """Make all work of `source` the work of `target`; returns the counts of `count_work`.

    Where both have the same checkpoint, data set or idempotency key, the row of `target` stays.
    An experiment that is being imported or deleted stays with `source`.
    Raises NameTaken, before anything is changed, where both have different data sets of one name.
    """
    require_free_names(session, source, target)
    counts = count_work(session, source)
    for table in OWNED_TABLES:
        _delete_duplicates(session, table, source, target)
        session.execute(
            update(table).where(_is_movable(table, source)).values(owner=target),
            execution_options=_BULK,
        )
    # After the experiments: a run that is added meanwhile waits for the lock of its experiment.
    _hand_over_runs(session, source, target)
    described = ", ".join(f"{count} {name}" for name, count in counts.items())
    origin = f"from {source}" if source != NOBODY else "without an owner"
    record(session, Action.HANDED_OVER, target, f"{origin}: {described or 'nothing'}")
    return counts


def require_free_names(session: Session, source: str, target: str) -> None:
    """Raises NameTaken where both owners have different data sets of one name."""
    other = aliased(DatasetRow)
    taken = list(
        session.scalars(
            select(DatasetRow.name)
            .join(other, and_(other.name == DatasetRow.name, other.owner == target))
            .where(DatasetRow.owner == source, other.sha256 != DatasetRow.sha256)
            .order_by(DatasetRow.name)
        )
    )
    if taken:
        more = f" and {len(taken) - MAX_NAMED} more" if len(taken) > MAX_NAMED else ""
        raise NameTaken(
            f"both owners have different data sets named {', '.join(taken[:MAX_NAMED])}{more}; "
            "delete one of each two first. Nothing was changed"
        )


_BULK = {"synchronize_session": False}
"""Execution options of statements that change many rows"""


def _is_movable(table: type[SQLModel], owner: str) -> Any:
    if table is ExperimentRow:
        return and_(ExperimentRow.owner == owner, ExperimentRow.hidden_at.is_(None))
    if table is RunRow:
        return and_(RunRow.owner == owner, RunRow.experiment_id.in_(_complete_experiments()))
    return table.__table__.c.owner == owner


def _complete_experiments() -> Any:
    return select(ExperimentRow.id).where(ExperimentRow.hidden_at.is_(None))


def _delete_duplicates(session: Session, table: type[SQLModel], source: str, target: str) -> None:
    """Delete the rows of `source` whose primary key `target` also has."""
    mine, theirs = table.__table__, table.__table__.alias()
    rest = [column.name for column in mine.primary_key if column.name != "owner"]
    if "owner" not in mine.primary_key.columns:
        return
    same = [theirs.c[name] == mine.c[name] for name in rest]
    session.execute(
        delete(mine).where(mine.c.owner == source, exists().where(theirs.c.owner == target, *same))
    )


def _hand_over_runs(session: Session, source: str, target: str) -> None:
    movable = and_(
        RunRow.owner == source,
        RunRow.experiment_id.in_(select(ExperimentRow.id).where(ExperimentRow.owner == target)),
    )
    columns = (RunRow.device_class, RunRow.memory_bytes, RunRow.requires)
    for values in session.execute(select(*columns).where(movable).distinct()).all():
        equal_needs = [column == value for column, value in zip(columns, values, strict=True)]
        group = claim_group_of(target, Needs(*values))
        session.execute(
            update(RunRow).where(movable, *equal_needs).values(owner=target, claim_group=group),
            execution_options=_BULK,
        )
