"""Find one experiment, or one that a submission can reuse."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import case, func, or_, select
from sqlmodel import Session

from engine.experiments.registry import get_kind
from engine.spec import TRAINING_VERSION
from schemas.status import ExperimentStatus
from storage.access.ownership import ALL_OWNERS
from storage.database.tables import ExperimentRow, RunRow
from storage.errors import InvalidTransition, NotFound
from storage.files.in_use import list_replaced

MAX_EQUAL = 100
"""Equal experiments that are looked at for one that a submission can reuse"""


def get_experiment(session: Session, experiment_id: str) -> ExperimentRow:
    """Raises NotFound."""
    row = session.get(ExperimentRow, experiment_id)
    if row is None or row.hidden_at is not None:
        raise NotFound(f"there is no experiment {experiment_id[:80]!r}")
    return row


def require_not_imported(row: ExperimentRow) -> None:
    """Raises InvalidTransition for an experiment that another service computed."""
    if row.imported_from is not None:
        raise InvalidTransition(
            f"the experiment was imported (its original id is {row.imported_from}) and is "
            "read-only; submit its body to compute it here"
        )


def find_reusable(
    session: Session, digest: str, datasets: Mapping[str, str] = MappingProxyType({})
) -> ExperimentRow | None:
    """The newest experiment with this digest that has succeeded or is queued or running.

    datasets: sha256 by name of the registered data sets; experiments that used another content are
    left out, and imported ones. None where there is no such row or the newest is damaged.
    """
    query = (
        select(ExperimentRow)
        .where(
            ExperimentRow.digest == digest,
            ExperimentRow.imported_from.is_(None),
            ExperimentRow.hidden_at.is_(None),
            ExperimentRow.status.in_(
                (ExperimentStatus.SUCCEEDED, ExperimentStatus.QUEUED, ExperimentStatus.RUNNING)
            ),
        )
        .order_by(ExperimentRow.id.desc())
        .limit(MAX_EQUAL)
    )
    equal = (
        row
        for row in session.scalars(query)
        if not list_replaced(row.readable("deleted_data"), datasets)
    )
    row = next(equal, None)
    if row is None or row.unreadable or _has_other_versions(session, row):
        return None
    return row


def _has_other_versions(session: Session, row: ExperimentRow) -> bool:
    """Whether a run was computed by an engine whose numbers for this spec may differ."""
    versions = {"training": TRAINING_VERSION, "kind": get_kind(row.kind).spec.version}
    differs = [_version(session, name) != str(version) for name, version in versions.items()]
    query = select(RunRow.id).where(RunRow.experiment_id == row.id, or_(*differs)).limit(1)
    return session.execute(query, execution_options=ALL_OWNERS).first() is not None


def _version(session: Session, name: str) -> Any:
    """A version in a run's manifest in SQL. A damaged manifest gives NULL."""
    manifest: Any = RunRow.manifest
    found = manifest["versions"][name].as_string()
    if session.get_bind().dialect.name != "sqlite":
        return found
    return case((func.json_valid(manifest), found))
