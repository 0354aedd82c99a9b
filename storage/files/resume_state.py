"""Delete the resume state of an ended run."""

from __future__ import annotations

from sqlalchemy import delete
from sqlmodel import Session

from storage.database.tables import ArtifactRow


def drop_resume_state(session: Session, run_id: str) -> list[str]:
    """Delete the rows of a run's resume state; returns the digests of their files.

    The caller may delete the unreferenced ones of these files; otherwise the orphan sweep does.
    """
    dropped = (
        delete(ArtifactRow)
        .where(ArtifactRow.run_id == run_id, ArtifactRow.role == "resume")
        .returning(ArtifactRow.sha256)
    )
    return list(session.scalars(dropped))
