"""Finished trainings, which later runs with the same digest reuse."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, func, or_, select
from sqlmodel import Session

from storage.database.engine import database_now
from storage.database.json_columns import readable
from storage.database.tables import ArtifactRow, ExperimentRow, RunRow, TrainingRow
from storage.files.in_use import list_replaced
from storage.runs.transitions import holds_run


def register_training(
    session: Session,
    *,
    digest: str,
    spec_digest: str,
    seed: int,
    run_id: str,
    fence: int,
    result: dict[str, object],
) -> bool:
    """Store a finished training for reuse. False, and nothing stored, for a lost fence."""
    if not holds_run(session, run_id, fence):
        return False
    session.merge(
        TrainingRow(
            digest=digest,
            seed=seed,
            run_id=run_id,
            spec_digest=spec_digest,
            result=result,
            created_at=database_now(session),
        )
    )
    return True


def find_trainings(
    session: Session,
    digest: str,
    seed: int,
    prefer_run: str | None = None,
    names: Collection[str] = (),
) -> list[TrainingRow]:
    """The finished trainings with this digest: that of run `prefer_run` first, then the newest.

    names: of the checkpoints that every other run must have kept.
    """
    query = (
        select(TrainingRow)
        .where(TrainingRow.digest == digest, TrainingRow.seed == seed)
        .where(or_(TrainingRow.run_id == prefer_run, _has_kept(names)))
    )
    return sorted(
        session.scalars(query), key=lambda row: (row.run_id == prefer_run, row.run_id), reverse=True
    )


def find_trained_specs(
    session: Session,
    datasets: Mapping[str, Mapping[str, str]],
    seeds: Collection[int],
    names: Collection[str] = (),
) -> dict[tuple[str, int], str]:
    """(spec digest, seed) to the id of the newest run that finished it; others are left out.

    datasets: for each spec digest, sha256 by name of the registered data sets that it uses now.
    Runs that used another content are left out, and those that have not kept theta_0, theta_T and
    the checkpoints of these names.
    """
    query = (
        select(
            TrainingRow.spec_digest,
            TrainingRow.seed,
            TrainingRow.run_id,
            ExperimentRow.deleted_data,
        )
        .join(RunRow, RunRow.id == TrainingRow.run_id)
        .join(ExperimentRow, ExperimentRow.id == RunRow.experiment_id)
        .where(TrainingRow.spec_digest.in_(list(datasets)), TrainingRow.seed.in_(list(seeds)))
        .where(_has_kept({"theta_0", "theta_T", *names}))
        .order_by(TrainingRow.run_id)
    )
    return {
        (spec, seed): run_id
        for spec, seed, run_id, deleted in session.execute(query)
        if not list_replaced(readable(deleted), datasets[spec])
    }


def _has_kept(names: Collection[str]) -> ColumnElement[bool]:
    """Whether the run of a training has kept all these checkpoints of its seed."""
    wanted = set(names)
    kept = select(func.count(ArtifactRow.name.distinct())).where(
        ArtifactRow.run_id == TrainingRow.run_id,
        ArtifactRow.role == "checkpoint",
        ArtifactRow.name.in_(wanted),
        ArtifactRow.seed == TrainingRow.seed,
    )
    return kept.scalar_subquery() == len(wanted)
