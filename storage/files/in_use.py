"""Uploaded files that experiments use: held while runs are added, and found before a deletion.

A transaction that adds runs shares a lock on the rows of their data sets and checkpoints; a
deletion locks the row for itself. So the later of the two sees what the other did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import String, cast, select
from sqlmodel import Session

from engine.data.spec import BUILTIN_DATASETS
from schemas.status import RunStatus
from storage.database.json_columns import readable
from storage.database.tables import (
    ArtifactRow,
    DatasetRow,
    ExperimentRow,
    PointRow,
    RunRow,
    WeightsRow,
)
from storage.errors import InvalidTransition

UNFINISHED = (RunStatus.QUEUED, RunStatus.RUNNING)
SHOWN = 3
"""Experiments that a refusal names"""


@dataclass(slots=True)
class UsedFiles:
    """The data sets and start checkpoints of some points."""

    datasets: dict[str, str] = field(default_factory=dict)
    """sha256 of each registered data set by name"""
    checkpoints: set[str] = field(default_factory=set)


def hold_files(session: Session, used: UsedFiles) -> None:
    """Keep the files until the transaction ends: a deletion waits.

    Raises InvalidTransition where one was deleted or replaced since `used` was read.
    """
    for name, sha256 in sorted(used.datasets.items()):
        row = _lock_dataset(session, name)
        if row is None or row.sha256 != sha256:
            raise InvalidTransition(
                f"the data set {name!r} was deleted or replaced at the same moment; send the "
                "request again"
            )
    for reference in sorted(used.checkpoints):
        _hold_checkpoint(session, reference)


def hold_files_of(
    session: Session, experiment: ExperimentRow, specs: Iterable[Mapping[str, Any]]
) -> None:
    """As `hold_files`, for points of a stored experiment.

    Raises InvalidTransition also where a data set was replaced after the experiment used it.
    """
    datasets, checkpoints = set[str](), set[str]()
    for spec in specs:
        datasets |= {name for name in [_dataset_of(spec)] if name is not None}
        checkpoints |= {name for name in [_checkpoint_of(spec)] if name is not None}
    for name in sorted(datasets - BUILTIN_DATASETS.keys()):
        row = _lock_dataset(session, name, experiment.owner)
        if row is None:
            raise InvalidTransition(
                f"the data set {name!r} was deleted; register it and submit the experiment again"
            )
        require_same_data(experiment, {name: row.sha256})
    for reference in sorted(checkpoints):
        _hold_checkpoint(session, reference)


def require_same_data(experiment: ExperimentRow, datasets: Mapping[str, str]) -> None:
    """Raises InvalidTransition where a data set had other content when it was used.

    datasets: sha256 of the present ones by name.
    """
    for name in list_replaced(experiment.deleted_data, datasets):
        raise InvalidTransition(
            f"the data set {name!r} was deleted and registered with other content since; "
            "submit the experiment again"
        )


def list_replaced(deleted_data: Mapping[str, str] | None, datasets: Mapping[str, str]) -> list[str]:
    """Names of data sets that had other content when an experiment used them.

    deleted_data: that of the experiment. datasets: sha256 of the present ones by name.
    """
    used = deleted_data or {}
    return [name for name, sha256 in datasets.items() if used.get(name, sha256) != sha256]


@dataclass(frozen=True, slots=True)
class DatasetUser:
    """An experiment with a data set."""

    experiment_id: str
    name: str | None
    status: str
    sha256: str | None
    """Of the file that it used, where that is not the present one"""


def list_users(session: Session, row: DatasetRow, *, limit: int) -> tuple[list[DatasetUser], bool]:
    """The newest experiments that use a registered data set, and whether there are more."""
    query = (
        select(ExperimentRow)
        .where(ExperimentRow.id.in_(_find_users(session, row)))
        .order_by(ExperimentRow.created_at.desc(), ExperimentRow.id.desc())
        .limit(limit + 1)
    )
    found = [
        DatasetUser(
            experiment.id,
            experiment.name,
            experiment.status,
            (experiment.deleted_data or {}).get(row.name)
            if list_replaced(experiment.deleted_data, {row.name: row.sha256})
            else None,
        )
        for experiment in session.scalars(query)
    ]
    return found[:limit], len(found) > limit


def _find_users(session: Session, row: DatasetRow) -> set[str]:
    """Ids of the owner's experiments of which a point uses the data set."""
    used = (
        select(PointRow.experiment_id, PointRow.spec)
        .join(ExperimentRow, ExperimentRow.id == PointRow.experiment_id)
        .where(ExperimentRow.owner == row.owner)
        .where(cast(PointRow.spec, String).contains(f'"{row.name}"', autoescape=True))
    )
    return {
        experiment_id
        for experiment_id, spec in session.execute(used)
        if _dataset_of(readable(spec)) == row.name
    }


def remember_deleted(session: Session, row: DatasetRow) -> None:
    """Store the content of a data set with the experiments that used it, before its deletion."""
    users = _find_users(session, row)
    for experiment in session.scalars(select(ExperimentRow).where(ExperimentRow.id.in_(users))):
        experiment.deleted_data = {row.name: row.sha256, **(experiment.deleted_data or {})}
        session.add(experiment)


def _lock_dataset(session: Session, name: str, owner: str | None = None) -> DatasetRow | None:
    query = select(DatasetRow).where(DatasetRow.name == name).order_by(DatasetRow.owner).limit(1)
    if owner is not None:
        query = query.where(DatasetRow.owner == owner)
    # A row that this transaction has read before is read again.
    locked = query.with_for_update(read=True).execution_options(populate_existing=True)
    return session.scalars(locked).first()


def _hold_checkpoint(session: Session, reference: str) -> None:
    for table in (WeightsRow, ArtifactRow):
        query = select(table.id).where(table.id == reference).with_for_update(read=True)
        if session.scalars(query.limit(1)).first() is not None:
            return
    raise InvalidTransition(f"the checkpoint {reference[:80]!r} was deleted")


def require_unused_dataset(session: Session, row: DatasetRow) -> None:
    """Raises InvalidTransition that names experiments whose runs wait or run with the data set."""
    _require_unused(session, row.owner, row.name, _dataset_of, f"the data set {row.name!r}")


def require_unused_checkpoint(session: Session, row: WeightsRow) -> None:
    """Raises InvalidTransition that names experiments whose runs wait for the checkpoint."""
    _require_unused(session, row.owner, row.id, _checkpoint_of, f"the checkpoint {row.id!r}")


def require_unused_artifacts(session: Session, experiment: ExperimentRow) -> None:
    """Raises InvalidTransition that names experiments whose runs wait for its checkpoints."""
    needed = find_needed_checkpoints(session, experiment)
    _refuse_if_used(sorted(set().union(*needed.values())), "a checkpoint of the experiment")


def find_needed_checkpoints(session: Session, experiment: ExperimentRow) -> dict[str, set[str]]:
    """Checkpoints of the experiment from which queued or running runs of others start.

    Returns the ids of these other experiments by checkpoint. Its checkpoints are locked until the
    transaction ends: a request that adds a run that starts from one waits.
    """
    own = set(
        session.scalars(
            select(ArtifactRow.id)
            .join(RunRow, RunRow.id == ArtifactRow.run_id)
            .where(RunRow.experiment_id == experiment.id, ArtifactRow.role == "checkpoint")
            .order_by(ArtifactRow.id)
            .with_for_update(of=ArtifactRow)
        )
    )
    if not own:
        return {}
    unfinished = select(RunRow.point_id).where(
        RunRow.owner == experiment.owner,
        RunRow.experiment_id != experiment.id,
        RunRow.status.in_(UNFINISHED),
    )
    candidates = (
        select(PointRow.experiment_id, PointRow.spec)
        .where(PointRow.id.in_(unfinished))
        .where(cast(PointRow.spec, String).contains('"checkpoint"', autoescape=True))
    )
    needed: dict[str, set[str]] = {}
    for user, spec in session.execute(candidates):
        reference = _checkpoint_of(readable(spec))
        if reference is not None and reference in own:
            needed.setdefault(reference, set()).add(user)
    return needed


def _require_unused(
    session: Session,
    owner: str,
    value: str,
    value_of: Callable[[Mapping[str, Any]], str | None],
    what: str,
) -> None:
    unfinished = select(RunRow.point_id).where(RunRow.owner == owner, RunRow.status.in_(UNFINISHED))
    candidates = (
        select(PointRow.experiment_id, PointRow.spec)
        .where(PointRow.id.in_(unfinished))
        # The database leaves out most of the points before any JSON is parsed.
        .where(cast(PointRow.spec, String).contains(f'"{value}"', autoescape=True))
        .order_by(PointRow.experiment_id)
    )
    users: dict[str, None] = {}
    for experiment_id, spec in session.execute(candidates):
        if value_of(readable(spec)) == value:
            users[experiment_id] = None
        if len(users) > SHOWN:
            break
    _refuse_if_used(list(users), what)


def _refuse_if_used(users: Sequence[str], what: str) -> None:
    if users:
        shown = ", ".join(users[:SHOWN]) + (", and more" if len(users) > SHOWN else "")
        raise InvalidTransition(
            f"{what} is needed by queued or running runs of {shown}; wait for them or cancel them, "
            "then delete it"
        )


def _dataset_of(spec: Mapping[str, Any]) -> str | None:
    return _text_at(spec, "data", "name")


def _checkpoint_of(spec: Mapping[str, Any]) -> str | None:
    return _text_at(spec, "init", "checkpoint")


def _text_at(spec: Mapping[str, Any], part: str, name: str) -> str | None:
    """The text in a stored spec; None where there is none, or the spec is damaged."""
    fields = spec.get(part)
    value = fields.get(name) if isinstance(fields, Mapping) else None
    return value if isinstance(value, str) else None
