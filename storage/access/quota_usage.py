"""Count what counts against quotas, of one owner or of all: runs, stored bytes, metric rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, func, select
from sqlmodel import Session

from schemas.status import RunStatus
from storage.access.ownership import ALL_OWNERS
from storage.database.tables import ArtifactRow, DatasetRow, MetricRow, RunRow, WeightsRow

RUN = RunRow.__table__
# Built once: every submission executes it while it holds SQLite's write lock.
_ACTIVE = (
    select(RUN.c.status, func.count())
    .where(RUN.c.status.in_((RunStatus.QUEUED, RunStatus.RUNNING)))
    .group_by(RUN.c.status)
)
_ACTIVE_OF_OWNER = _ACTIVE.where(RUN.c.owner == bindparam("owner"))


def count_active(session: Session, owner: str | None) -> dict[RunStatus, int]:
    """Queued and running runs of `owner`; None: of all owners. An index answers it."""
    found = {RunStatus.QUEUED: 0, RunStatus.RUNNING: 0}
    rows = (
        session.execute(_ACTIVE, execution_options=ALL_OWNERS)
        if owner is None
        else session.execute(_ACTIVE_OF_OWNER, {"owner": owner}, execution_options=ALL_OWNERS)
    )
    return {**found, **dict(rows.all())}


def count_stored_bytes(session: Session, owner: str | None = None) -> int:
    """Bytes of the stored files of `owner`; None: of all owners. Reads the row of every file.

    Files of runs, data sets and uploaded checkpoints; equal files count once.
    """
    artifacts = select(ArtifactRow.sha256, ArtifactRow.num_bytes)
    others = [select(table.sha256, table.num_bytes) for table in (DatasetRow, WeightsRow)]
    if owner is not None:
        artifacts = artifacts.join(RunRow, RunRow.id == ArtifactRow.run_id).where(
            RunRow.owner == owner
        )
        others = [
            query.where(table.owner == owner)
            for query, table in zip(others, (DatasetRow, WeightsRow), strict=True)
        ]
    files = artifacts.union(*others).subquery()
    return int(_execute_for_all(session, select(func.sum(files.c.num_bytes))).scalar_one() or 0)


def count_metric_rows(session: Session, owner: str | None) -> int:
    """Metric rows of `owner`; None: of all owners. Scans an index over all of them."""
    query = select(func.count()).select_from(MetricRow)
    if owner is not None:
        query = query.join(RunRow, RunRow.id == MetricRow.run_id).where(RunRow.owner == owner)
    return int(_execute_for_all(session, query).scalar_one())


def _execute_for_all(session: Session, query: Any) -> Any:
    return session.execute(query, execution_options=ALL_OWNERS)
