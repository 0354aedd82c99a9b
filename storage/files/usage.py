"""Measure the stored files: by role, by experiment, and orphans."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlmodel import Session

from schemas.resources import ExperimentStorage, OrphanStorage, RoleStorage, Storage
from storage.access.quota_usage import count_stored_bytes
from storage.database.engine import Database
from storage.database.tables import ArtifactRow, DatasetRow, ExperimentRow, RunRow, WeightsRow
from storage.files.blobs import BlobStore
from storage.files.retention import ORPHAN_SECONDS, find_orphans

LARGEST = 20


def measure_storage(db: Database, blobs: BlobStore) -> Storage:
    """Sizes of all stored files; a file with several rows counts once in each sum."""
    with db.read() as session:
        roles = count_bytes_by_role(session)
        largest = _largest_experiments(session)
        stored = count_stored_bytes(session)
    orphans = find_orphans(db, blobs)
    return Storage(
        bytes=stored,
        roles=roles,
        largest_experiments=largest,
        orphans=OrphanStorage(
            files=len(orphans), bytes=sum(orphans.values()), older_than_seconds=ORPHAN_SECONDS
        ),
        free_bytes=blobs.free_bytes(),
    )


def count_bytes_by_role(session: Session) -> list[RoleStorage]:
    """Files and bytes by role, each file once a role. Slow: reads the row of every file."""
    files = (
        select(ArtifactRow.role, ArtifactRow.sha256, ArtifactRow.num_bytes).distinct().subquery()
    )
    query = select(files.c.role, func.count(), func.sum(files.c.num_bytes)).group_by(files.c.role)
    found = {role: (count, size) for role, count, size in session.execute(query)}
    for role, table in (("dataset", DatasetRow), ("weights", WeightsRow)):
        count, size = session.execute(select(func.count(), func.sum(table.num_bytes))).one()
        found[role] = (count, size)
    return [
        RoleStorage(
            role=role, files=found.get(role, (0, 0))[0], bytes=int(found.get(role, (0, 0))[1] or 0)
        )
        for role in ("checkpoint", "artifact", "resume", "dataset", "weights")
    ]


def _largest_experiments(session: Session) -> list[ExperimentStorage]:
    files = (
        select(RunRow.experiment_id, ArtifactRow.sha256, ArtifactRow.num_bytes)
        .join(RunRow, RunRow.id == ArtifactRow.run_id)
        .distinct()
        .subquery()
    )
    size = func.sum(files.c.num_bytes)
    query = (
        select(ExperimentRow.id, ExperimentRow.name, func.count(), size)
        .join(files, files.c.experiment_id == ExperimentRow.id)
        .group_by(ExperimentRow.id, ExperimentRow.name)
        .order_by(size.desc(), ExperimentRow.id)
        .limit(LARGEST)
    )
    return [
        ExperimentStorage(id=experiment_id, name=name, files=count, bytes=int(total))
        for experiment_id, name, count, total in session.execute(query)
    ]
