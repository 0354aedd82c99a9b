"""Retry the failed runs of an experiment; extend it by seeds and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlmodel import Session

from engine.spec import canonical_json
from schemas.events import EventName
from schemas.status import ExperimentStatus, RunStatus
from schemas.submission import Submission
from storage.database.json_columns import readable
from storage.database.tables import ExperimentRow, PointRow, RunRow
from storage.errors import InvalidTransition
from storage.experiments.answers import drop_answers
from storage.experiments.create import PlannedPoint, PlannedRun, add_points, add_runs
from storage.experiments.find import require_not_imported
from storage.experiments.locks import lock_experiment
from storage.experiments.status import refresh_status
from storage.files.in_use import hold_files_of
from storage.results.events import append_event
from storage.runs.placement import Needs


def retry_experiment(session: Session, experiment_id: str) -> tuple[ExperimentRow, list[Needs]]:
    """failed → queued for every failed run, with `losses` reset; returns their needs.

    Raises NotFound, and InvalidTransition where no run has failed, or where a data set or a
    checkpoint that a failed run needs was deleted.
    """
    row = lock_experiment(session, experiment_id)
    require_not_imported(row)
    has_failed = (RunRow.experiment_id == experiment_id, RunRow.status == RunStatus.FAILED)
    points = select(PointRow.spec).where(
        PointRow.id.in_(select(RunRow.point_id).where(*has_failed))
    )
    hold_files_of(session, row, map(readable, session.scalars(points)))
    failed = session.execute(
        update(RunRow)
        .where(*has_failed)
        .values(
            status=RunStatus.QUEUED,
            fence=RunRow.fence + 1,
            losses=0,
            worker=None,
            lease_until=None,
            woken_at=None,
            cancel_requested_at=None,
            error_code=None,
            error_detail=None,
            finished_at=None,
            elapsed_seconds=0.0,
        )
        .returning(RunRow.id, RunRow.device_class, RunRow.memory_bytes, RunRow.requires)
    ).all()
    if not failed:
        raise InvalidTransition(f"the experiment is {row.status} and none of its runs has failed")
    for run_id, *_ in failed:
        append_event(session, experiment_id, EventName.RUN_QUEUED, {"retry": True}, run_id)
    _reopen(session, row)
    return row, [Needs(*needs) for _, *needs in failed]


def list_planned(
    session: Session, experiment_id: str
) -> list[tuple[int, Mapping[str, Any], set[int]]]:
    """(index, swept values, seeds with a run) of every point, by index. Raises UnreadableRow."""
    seeds: dict[str, set[int]] = {}
    for run in session.scalars(select(RunRow).where(RunRow.experiment_id == experiment_id)):
        seeds.setdefault(run.point_id, set()).update(run.seeds)
    points = session.scalars(
        select(PointRow).where(PointRow.experiment_id == experiment_id).order_by(PointRow.index)
    )
    return [(point.index, point.values, seeds.get(point.id, set())) for point in points]


def extend_experiment(
    session: Session,
    experiment_id: str,
    *,
    submission: Submission,
    seeds: Sequence[int],
    digest: str,
    points: Sequence[PlannedPoint],
    runs: Sequence[PlannedRun],
    shared_checkpoints: Mapping[int, Mapping[str, Any]],
) -> tuple[ExperimentRow, list[Needs]]:
    """Add points and runs; returns the experiment and the needs of the added runs.

    submission, seeds, digest: of the experiment with the extension. shared_checkpoints: by index of
    a point, what trainings that it shares keep from now on.
    Raises NotFound, and InvalidTransition where the experiment was cancelled.
    """
    row = lock_experiment(session, experiment_id)
    if row.status is ExperimentStatus.CANCELLED:
        raise InvalidTransition("the experiment was cancelled; submit a new one")
    row.sweep, row.digest = submission.sweep, digest
    add_to_experiment(session, row, seeds=seeds, points=points, runs=runs)
    _store_shared(session, experiment_id, shared_checkpoints)
    return row, [run.needs for run in runs]


def _store_shared(
    session: Session, experiment_id: str, shared: Mapping[int, Mapping[str, Any]]
) -> None:
    alike: dict[str, list[int]] = {}
    for index, checkpoints in shared.items():
        alike.setdefault(canonical_json(checkpoints), []).append(index)
    for indexes in alike.values():
        session.execute(
            update(PointRow)
            .where(PointRow.experiment_id == experiment_id, PointRow.index.in_(indexes))
            .values(shared_checkpoints=dict(shared[indexes[0]]))
        )


def add_to_experiment(
    session: Session,
    row: ExperimentRow,
    *,
    seeds: Sequence[int],
    points: Sequence[PlannedPoint] = (),
    runs: Sequence[PlannedRun],
) -> None:
    """Add points and runs to an experiment that the transaction has locked, and reopen it.

    seeds: all that it then has.
    """
    row.seeds = list(seeds)
    row.num_points += len(points)
    add_points(session, row.id, points)
    ids = {  # noqa: C416  (a row is no pair to `dict`)
        index: point_id
        for index, point_id in session.execute(
            select(PointRow.index, PointRow.id).where(PointRow.experiment_id == row.id)
        )
    }
    add_runs(session, row.id, ids, runs, row.priority, row.owner)
    data = {"points": len(points), "runs": len(runs), "seeds": list(seeds)}
    append_event(session, row.id, EventName.EXPERIMENT_EXTENDED, data)
    _reopen(session, row)


def _reopen(session: Session, row: ExperimentRow) -> None:
    """Drop the summary, its numbers and the end time: they are outdated."""
    row.summary, row.finished_at = None, None
    session.add(row)
    drop_answers(session, row.id)
    refresh_status(session, row.id)
