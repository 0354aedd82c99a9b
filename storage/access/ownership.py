"""Whose rows a session sees and makes: the one place where owners are told apart.

A session with a viewer finds, in every SELECT, only what belongs to the viewer's owner, and what it makes belongs to that
owner; what is not found is not changed. A session without a viewer, as the workers' and the reconciler's, sees everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import event, select
from sqlalchemy.orm import with_loader_criteria
from sqlmodel import Session, SQLModel

from storage.database.tables import (
    ApiKeyRow,
    ArtifactRow,
    AuditRow,
    CounterRow,
    DatasetRow,
    DeliveryRow,
    EventRow,
    ExperimentRow,
    IdempotencyRow,
    LoginRow,
    MetricRow,
    PointRow,
    RunRow,
    TrainingRow,
    WebhookRow,
    WeightsRow,
    WorkerRow,
)

NOBODY = ""
"""The owner of what was made while the service asked for no key."""
ALL_OWNERS: Mapping[str, Any] = MappingProxyType({"all_owners": True})
"""Execution options of a statement that has to see every owner's rows, such as one that counts the queue."""

OWNED_TABLES = (ExperimentRow, DatasetRow, WeightsRow, IdempotencyRow)
"""Their `owner` says whose they are."""
EXPERIMENT_TABLES = (PointRow, RunRow, EventRow, WebhookRow)
RUN_TABLES = (MetricRow, ArtifactRow, TrainingRow)
SERVICE_TABLES = (WorkerRow, ApiKeyRow, LoginRow, AuditRow, DeliveryRow, CounterRow)
"""No owner's: read only where that is right."""


@dataclass(frozen=True, slots=True)
class Viewer:
    owner: str
    sees_all: bool = False
    """Whether the rows of every owner are seen; those that are made are its own all the same"""
    key_id: str | None = None
    """Of the key by which it was let in"""
    login: str | None = None
    """Hash of the login by which it was, where it showed a cookie instead of the key"""


class OwnerScopedSession(Session):
    """A session with a viewer."""


@contextmanager
def restricted_to_owner(session: Session, owner: str | None = None) -> Iterator[None]:
    """Within, the session sees one owner's rows alone, an admin's too: that of `owner`, without one the viewer's own."""
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


def viewer_of(session: Session) -> Viewer | None:
    """Whoever uses this session; None where no key was asked for."""
    viewer: Viewer | None = session.info.get("viewer")
    return viewer


def owner_of(session: Session) -> str:
    """Whose the rows are that this session makes."""
    viewer = viewer_of(session)
    return NOBODY if viewer is None else viewer.owner


@event.listens_for(OwnerScopedSession, "do_orm_execute")
def _show_own_rows(execution: Any) -> None:
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
    for owned in OWNED_TABLES:
        yield owned, owned.owner == owner
    for part in EXPERIMENT_TABLES:
        yield part, part.experiment_id.in_(own_experiments)
    for file in RUN_TABLES:
        yield file, file.run_id.in_(own_runs)


@event.listens_for(OwnerScopedSession, "before_flush")
def _make_own_rows(session: Session, context: Any, instances: Any) -> None:
    for row in session.new:
        if isinstance(row, OWNED_TABLES):
            row.owner = owner_of(session)
