"""Delete an experiment with all its rows."""

from __future__ import annotations

from sqlalchemy import delete, func, select, union_all
from sqlmodel import Session

from schemas.resources import Deletion
from storage.access.ownership import ALL_OWNERS
from storage.database.engine import database_now
from storage.database.tables import ArtifactRow, DatasetRow, ExperimentRow, RunRow, WeightsRow
from storage.errors import InvalidTransition
from storage.experiments.hidden import has_many_metrics
from storage.experiments.locks import lock_experiment
from storage.files.in_use import require_unused_artifacts


def delete_experiment(
    session: Session, experiment_id: str, *, dry_run: bool
) -> tuple[Deletion, list[str]]:
    """Delete a terminal experiment; returns what was deleted and the digests of files to delete.

    These are the files that no other row of its owner refers to; none for a dry run. An experiment
    with many metrics is only hidden: `storage.experiments.hidden.remove_hidden` deletes its rows.
    Raises NotFound, and InvalidTransition where the experiment is queued or running, or where
    queued or running runs start from a checkpoint of it.
    """
    row = lock_experiment(session, experiment_id)
    if not row.status.is_terminal:
        raise InvalidTransition(f"the experiment is {row.status}; cancel it before deleting it")
    require_unused_artifacts(session, row)
    runs = select(RunRow.id).where(RunRow.experiment_id == experiment_id)
    query = select(ArtifactRow.sha256, ArtifactRow.num_bytes).where(ArtifactRow.run_id.in_(runs))
    artifacts = session.execute(query).all()
    kept = _kept_files(session, row)
    freed = {sha256: size for sha256, size in artifacts if sha256 not in kept}
    deletion = Deletion(
        id=experiment_id,
        deleted=not dry_run,
        dry_run=dry_run,
        bytes=sum(freed.values()),
        runs=session.execute(select(func.count()).select_from(runs.subquery())).scalar_one(),
        artifacts=len(artifacts),
    )
    if dry_run:
        return deletion, []
    if has_many_metrics(session, experiment_id):
        row.hidden_at = database_now(session)
        session.add(row)
    else:
        session.execute(delete(ExperimentRow).where(ExperimentRow.id == experiment_id))
    return deletion, list(freed)


def _kept_files(session: Session, row: ExperimentRow) -> set[str]:
    """Digests of the experiment's files that other rows of its owner refer to.

    The files of other owners do not count: the response must not depend on them.
    """
    runs = select(RunRow.id).where(RunRow.experiment_id == row.id)
    own = select(ArtifactRow.sha256).where(ArtifactRow.run_id.in_(runs))
    elsewhere = (
        select(ArtifactRow.sha256)
        .join(RunRow, RunRow.id == ArtifactRow.run_id)
        .where(RunRow.owner == row.owner, RunRow.experiment_id != row.id)
    )
    uploads = [
        select(table.sha256).where(table.owner == row.owner) for table in (DatasetRow, WeightsRow)
    ]
    others = union_all(elsewhere, *uploads).subquery()
    query = own.where(ArtifactRow.sha256.in_(select(others.c.sha256)))
    return set(session.scalars(query, execution_options=ALL_OWNERS))
