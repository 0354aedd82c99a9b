"""Which rows a session sees and makes: the only place where owners are separated.

A session with a viewer finds only the rows of the viewer's owner in every SELECT, and the rows that
it makes get that owner; rows that are not found cannot be changed. A session without a viewer, such
as the workers' and the reconciler's, sees every row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, select
from sqlalchemy.orm import with_loader_criteria
from sqlmodel import Session, SQLModel

from storage.database.tables import (
    AnswerRow,
    ApiKeyRow,
    ArtifactRow,
    AuditRow,
    CordonRow,
    CounterRow,
    DatasetRow,
    DeliveryRow,
    DescribedNetRow,
    DuePassRow,
    EventRow,
    ExperimentRow,
    IdempotencyRow,
    LoginRow,
    MetricRow,
    PluginListingRow,
    PointRow,
    PointSeedRow,
    RunRow,
    TrainingRow,
    WebhookRow,
    WeightsRow,
    WorkerRow,
)
from storage.errors import NotFound

if TYPE_CHECKING:
    from storage.database.engine import Database

NOBODY = ""
"""The owner of rows made while no key was required"""
ALL_OWNERS: Mapping[str, Any] = MappingProxyType({"all_owners": True})
"""Execution options of a statement that must see every owner's rows, such as a queue count"""

OWNED_TABLES = (ExperimentRow, DatasetRow, WeightsRow, IdempotencyRow)
"""Tables with a column `owner`"""
EXPERIMENT_TABLES = (AnswerRow, PointRow, RunRow, EventRow, WebhookRow)
"""Tables that belong to an experiment"""
RUN_TABLES = (MetricRow, ArtifactRow, TrainingRow)
"""Tables that belong to a run"""
SERVICE_TABLES = (
    WorkerRow,
    ApiKeyRow,
    LoginRow,
    AuditRow,
    DeliveryRow,
    CordonRow,
    CounterRow,
    DuePassRow,
    PointSeedRow,
    DescribedNetRow,
    PluginListingRow,
)
"""Tables without an owner: every session sees them, so each query decides what may be shown"""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose request a session serves."""

    owner: str
    sees_all: bool = False
    """An admin: sees the rows of every owner; the rows that it makes are its own"""
    key_id: str | None = None
    """The key that authenticated the request"""
    login: str | None = None
    """Hash of the login token, where a cookie authenticated the request"""


class OwnerScopedSession(Session):
    """A session with a viewer."""


@contextmanager
def restricted_to_owner(session: Session, owner: str | None = None) -> Iterator[None]:
    """In this block the session sees only the rows of one owner, even for an admin.

    owner: None means the viewer's own.
    """
    viewer = viewer_of(session)
    if viewer is None:
        yield
        return
    session.info["viewer"] = replace(
        viewer, owner=viewer.owner if owner is None else owner, sees_all=False
    )
    try:
        yield
    finally:
        session.info["viewer"] = viewer


@contextmanager
def reading_as_owner(db: Database, run_id: str) -> Iterator[Session]:
    """A session that sees only the rows of the run's owner, who may change while it is executed.

    Raises NotFound for a deleted run.
    """
    with db.for_viewer(Viewer(NOBODY, sees_all=True)).read() as session:
        owner = session.scalars(select(RunRow.owner).where(RunRow.id == run_id)).first()
        if owner is None:
            raise NotFound(f"run {run_id} was deleted")
        with restricted_to_owner(session, owner):
            yield session


def viewer_of(session: Session) -> Viewer | None:
    """The session's viewer; None where no key is required."""
    viewer: Viewer | None = session.info.get("viewer")
    return viewer


def owner_of(session: Session) -> str:
    """The owner of the rows that this session makes."""
    viewer = viewer_of(session)
    return NOBODY if viewer is None else viewer.owner


@event.listens_for(OwnerScopedSession, "do_orm_execute")
def _filter_rows(execution: Any) -> None:
    viewer: Viewer = execution.session.info["viewer"]
    if viewer.sees_all or not execution.is_select or execution.execution_options.get("all_owners"):
        return
    execution.statement = execution.statement.options(
        *(
            with_loader_criteria(table, condition, include_aliases=True)
            for table, condition in _conditions(viewer.owner)
        )
    )


def _conditions(owner: str) -> Iterator[tuple[type[SQLModel], Any]]:
    experiments, runs = ExperimentRow.__table__, RunRow.__table__
    own_experiments = select(experiments.c.id).where(experiments.c.owner == owner)
    own_runs = select(runs.c.id).where(runs.c.experiment_id.in_(own_experiments))
    for table in OWNED_TABLES:
        yield table, table.owner == owner
    for child in EXPERIMENT_TABLES:
        yield child, child.experiment_id.in_(own_experiments)
    for record in RUN_TABLES:
        yield record, record.run_id.in_(own_runs)


@event.listens_for(OwnerScopedSession, "before_flush")
def _set_owner(session: Session, context: Any, instances: Any) -> None:
    for row in session.new:
        if isinstance(row, OWNED_TABLES):
            row.owner = owner_of(session)
