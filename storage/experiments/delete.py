"""Delete an experiment with all its rows."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlmodel import Session

from schemas.resources import Deletion
from storage.access.ownership import ALL_OWNERS
from storage.database.tables import ArtifactRow, ExperimentRow, RunRow
from storage.errors import InvalidTransition
from storage.experiments.locks import lock_experiment


def delete_experiment(
    session: Session, experiment_id: str, *, dry_run: bool
) -> tuple[Deletion, list[str]]:
    """Delete a terminal experiment; returns what was deleted and the digests of files to delete.

    These are the files that no other row refers to; none for a dry run.
    Raises NotFound, and InvalidTransition where the experiment is queued or running.
    """
    row = lock_experiment(session, experiment_id)
    if not row.status.is_terminal:
        raise InvalidTransition(f"the experiment is {row.status}; cancel it before deleting it")
    run_ids = list(session.scalars(select(RunRow.id).where(RunRow.experiment_id == experiment_id)))
    artifacts = list(session.scalars(select(ArtifactRow).where(ArtifactRow.run_id.in_(run_ids))))
    own = {artifact.sha256: artifact.num_bytes for artifact in artifacts}
    query = select(ArtifactRow.sha256).where(
        ArtifactRow.sha256.in_(list(own)),
        ArtifactRow.run_id.not_in(run_ids),
    )
    shared = set(session.scalars(query, execution_options=ALL_OWNERS))
    freed = {sha256: size for sha256, size in own.items() if sha256 not in shared}
    if not dry_run:
        session.execute(delete(ExperimentRow).where(ExperimentRow.id == experiment_id))
    deletion = Deletion(
        id=experiment_id,
        deleted=not dry_run,
        dry_run=dry_run,
        bytes=sum(freed.values()),
        runs=len(run_ids),
        artifacts=len(artifacts),
    )
    return deletion, [] if dry_run else list(freed)
