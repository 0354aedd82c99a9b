"""The files of a run: checkpoints, artifacts, and two generations of resume state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import case, func, literal, select, update
from sqlmodel import Session

from schemas.resources import Artifact, Checkpoint
from storage.access.ownership import ALL_OWNERS
from storage.database.engine import database_now
from storage.database.ids import new_id
from storage.database.tables import (
    ArtifactRow,
    DatasetRow,
    PointRow,
    RunRow,
    WeightsRow,
)
from storage.errors import NotFound
from storage.files.blobs import StoredBlob
from storage.runs.transitions import holds_run

Role = Literal["checkpoint", "artifact", "resume"]

RESUME_GENERATIONS = 2


def register_artifact(
    session: Session,
    *,
    run_id: str,
    fence: int,
    role: Role,
    name: str,
    seed: int | None,
    epoch: int | None,
    media_type: str,
    blob: StoredBlob,
) -> str | None:
    """Store the row of a file and return its id. None, and nothing stored, for a lost fence.

    It replaces the file with the same role, name and seed; of resume state the newest two
    generations are kept. The same content keeps its id, by which runs may start from a checkpoint.
    """
    if not holds_run(session, run_id, fence):
        return None
    same = select(ArtifactRow).where(
        ArtifactRow.run_id == run_id,
        ArtifactRow.role == role,
        ArtifactRow.name == name,
        ArtifactRow.seed == seed if seed is not None else ArtifactRow.seed.is_(None),
    )
    older = sorted(session.scalars(same), key=resume_order, reverse=True)
    if role == "resume":
        session.execute(update(RunRow).where(RunRow.id == run_id).values(losses=0))
    elif older and older[0].sha256 == blob.sha256:
        same_file = older[0]
        same_file.fence, same_file.epoch = fence, epoch
        same_file.created_at = database_now(session)
        return same_file.id
    for row in older[RESUME_GENERATIONS - 1 :] if role == "resume" else older:
        session.delete(row)
    row = ArtifactRow(
        id=new_id("art"),
        run_id=run_id,
        role=role,
        name=name,
        seed=seed,
        epoch=epoch,
        fence=fence,
        media_type=media_type,
        sha256=blob.sha256,
        num_bytes=blob.num_bytes,
        created_at=database_now(session),
    )
    session.add(row)
    session.flush()
    return row.id


def resume_order(row: ArtifactRow) -> tuple[int, int, str]:
    """Sort key of a run's resume state: by attempt, then by step.

    Ids alone would not do: they follow the wall clock, which may be set back between two saves.
    """
    return row.fence, row.epoch or 0, row.id


def list_artifacts(session: Session, run_id: str, role: Role) -> list[ArtifactRow]:
    """The files of a run in this role, by name, seed and age."""
    query = (
        select(ArtifactRow)
        .where(ArtifactRow.run_id == run_id, ArtifactRow.role == role)
        .order_by(ArtifactRow.name, ArtifactRow.seed, ArtifactRow.id)
    )
    return list(session.scalars(query))


def list_run_files(session: Session, run_id: str) -> list[ArtifactRow]:
    """All files of a run, by role, name, seed and age."""
    query = (
        select(ArtifactRow)
        .where(ArtifactRow.run_id == run_id)
        .order_by(ArtifactRow.role, ArtifactRow.name, ArtifactRow.seed, ArtifactRow.id)
    )
    return list(session.scalars(query))


def list_experiment_files(
    session: Session, experiment_id: str, *, limit: int
) -> list[tuple[ArtifactRow, Mapping[str, Any]]]:
    """Checkpoints and artifacts with the swept values of their point, by point, name and seed."""
    query = (
        select(ArtifactRow, PointRow)
        .join(RunRow, RunRow.id == ArtifactRow.run_id)
        .join(PointRow, PointRow.id == RunRow.point_id)
        .where(
            RunRow.experiment_id == experiment_id, ArtifactRow.role.in_(("checkpoint", "artifact"))
        )
        .order_by(PointRow.index, ArtifactRow.name, ArtifactRow.seed, ArtifactRow.id)
        .limit(limit)
    )
    return [(row, point.readable("values")) for row, point in session.execute(query)]


def count_experiment_bytes(session: Session, experiment_id: str) -> int:
    """Bytes of the files of the experiment's runs, each row counted."""
    query = (
        select(func.coalesce(func.sum(ArtifactRow.num_bytes), 0))
        .join(RunRow, RunRow.id == ArtifactRow.run_id)
        .where(RunRow.experiment_id == experiment_id)
    )
    return int(session.execute(query).scalar_one())


def get_artifact(session: Session, artifact_id: str) -> ArtifactRow:
    """Raises NotFound."""
    row = session.get(ArtifactRow, artifact_id)
    if row is None:
        raise NotFound(f"there is no artifact {artifact_id[:80]!r}")
    return row


def find_artifact(
    session: Session, run_ids: Sequence[str], name: str, seed: int, role: Role = "artifact"
) -> ArtifactRow | None:
    """The newest file with this name and seed among the runs."""
    query = (
        select(ArtifactRow)
        .where(
            ArtifactRow.run_id.in_(run_ids),
            ArtifactRow.role == role,
            ArtifactRow.name == name,
            ArtifactRow.seed == seed,
        )
        .order_by(ArtifactRow.id.desc())
        .limit(1)
    )
    return session.scalars(query).first()


def referenced_blobs(session: Session, digests: Collection[str]) -> set[str]:
    """Those of the digests that any row refers to."""
    found: set[str] = set()
    for table in (ArtifactRow, DatasetRow, WeightsRow):
        query = select(table.sha256).where(table.sha256.in_(list(digests)))
        found |= set(session.scalars(query, execution_options=ALL_OWNERS))
    return found


def list_referenced_blobs(session: Session) -> dict[str, bool]:
    """The digest of every stored file, and whether more than resume state refers to it."""
    found: dict[str, bool] = {}
    for table in (ArtifactRow, DatasetRow, WeightsRow):
        is_resume = table.role == "resume" if table is ArtifactRow else literal(False)
        query = select(table.sha256, func.max(case((is_resume, 0), else_=1))).group_by(table.sha256)
        for sha256, is_needed in session.execute(query, execution_options=ALL_OWNERS):
            found[sha256] = found.get(sha256, False) or bool(is_needed)
    return found


def file_name(row: ArtifactRow) -> str:
    """A file name for a download: name, seed, and the extension of the media type."""
    seed = "" if row.seed is None else f"-seed{row.seed}"
    extension = {"application/vnd.safetensors": ".safetensors"}.get(row.media_type, "")
    stem, dot, rest = row.name.partition(".")
    return f"{stem}{seed}{dot}{rest}{extension}"


def to_artifact(row: ArtifactRow) -> Artifact:
    return Artifact(**_fields(row))


def to_checkpoint(row: ArtifactRow) -> Checkpoint:
    return Checkpoint(**_fields(row), epoch=row.epoch)


def _fields(row: ArtifactRow) -> dict[str, object]:
    names = ("id", "run_id", "name", "seed", "media_type", "sha256", "created_at")
    return {
        **{name: getattr(row, name) for name in names},
        "bytes": row.num_bytes,
        "links": {"content": f"/artifacts/{row.id}"},
    }
