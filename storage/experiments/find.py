"""Find one experiment, list experiments, find one that a submission can reuse."""

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
from storage.database.cursors import decode_cursor, encode_cursor
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


def list_experiments(
    session: Session,
    *,
    limit: int,
    cursor: str | None = None,
    kind: str | None = None,
    status: ExperimentStatus | None = None,
    label: tuple[str, str | None] | None = None,
    name: str | None = None,
    containing: str | None = None,
) -> tuple[list[ExperimentRow], str | None]:
    """One page, newest first, and the cursor of the next page.

    label: (name, value); a value of None matches every value.
    containing: text in the name or the id; case is ignored.

    Raises InvalidCursor.
    """
    query = (
        select(ExperimentRow)
        .where(ExperimentRow.hidden_at.is_(None))
        .order_by(ExperimentRow.id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        query = query.where(ExperimentRow.id < decode_cursor(cursor, str)[0])
    if kind is not None:
        query = query.where(ExperimentRow.kind == kind)
    if status is not None:
        query = query.where(ExperimentRow.status == status)
    if name is not None:
        query = query.where(ExperimentRow.name == name)
    if containing is not None:
        query = query.where(
            or_(
                ExperimentRow.name.icontains(containing, autoescape=True),
                ExperimentRow.id.icontains(containing, autoescape=True),
            )
        )
    if label is not None:
        key, value = label
        stored = _label(session, key)
        query = query.where(stored.is_not(None) if value is None else stored == value)
    rows = list(session.scalars(query))
    more = len(rows) > limit
    return rows[:limit], encode_cursor(rows[limit - 1].id) if more else None


def _label(session: Session, key: str) -> Any:
    """The value of a label in SQL, for every key. Damaged labels give NULL.

    On SQLite, damaged labels would fail the whole query, and a JSON path finds no key with quotes
    or backslashes.
    """
    if session.get_bind().dialect.name != "sqlite":
        return ExperimentRow.labels[key].as_string()
    each = func.json_each(ExperimentRow.labels).table_valued("key", "value")
    value = select(each.c.value).where(each.c.key == key).limit(1).scalar_subquery()
    return case((func.json_valid(ExperimentRow.labels), value))


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
