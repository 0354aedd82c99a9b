"""Resume state ends with its run, whoever ends the run."""

from __future__ import annotations

from sqlalchemy import delete
from sqlmodel import Session

from storage.database.tables import ArtifactRow


def drop_resume_state(session: Session, run_id: str) -> list[str]:
    """A run that has ended resumes no more; returns the digests of the files that were its alone.

    Whoever does not delete them leaves that to the sweep of files that no row speaks of.
    """
    dropped = (
        delete(ArtifactRow)
        .where(ArtifactRow.run_id == run_id, ArtifactRow.role == "resume")
        .returning(ArtifactRow.sha256)
    )
    return list(session.scalars(dropped))
