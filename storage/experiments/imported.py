"""An experiment that another service has computed, stored as it ended there: read-only, never reused, no worker's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from engine.spec import ExperimentSpec, sha256_of
from schemas.bundle import Bundle, BundledFile, BundledRun
from schemas.events import EventName
from schemas.submission import Submission
from storage.database.engine import database_now
from storage.database.ids import new_id
from storage.database.tables import ArtifactRow, ExperimentRow, RunRow
from storage.experiments.create import PlannedPoint, add_points
from storage.experiments.status import refresh_status
from storage.files.blobs import StoredBlob
from storage.results.events import append_event
from storage.results.metrics import MetricPoint, store_metrics

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class CheckedBundle:
    """A bundle in which every spec has been parsed."""

    bundle: Bundle
    sha256: str
    """Of the whole archive."""
    submission: Submission
    spec: Mapping[str, Any]
    """The spec before the sweep, every default filled in."""
    specs: Sequence[ExperimentSpec]
    """Of each point"""
    results: Sequence[Sequence[Mapping[str, Any]] | None]
    """Of each run: its results"""
    num_metrics: int


def find_imported(session: Session, sha256: str) -> ExperimentRow | None:
    """The experiment that was imported from this archive."""
    return session.scalars(
        select(ExperimentRow).where(ExperimentRow.imported_sha256 == sha256)
    ).first()


def store_imported(
    session: Session,
    checked: CheckedBundle,
    files: Mapping[str, StoredBlob],
    metrics: Iterable[MetricPoint],
) -> ExperimentRow:
    """Store it whole under ids of this service. `files`: by sha256, those of the bundle, in the store already.
    `metrics`: taken a few at a time; of those of the same place the last holds."""
    bundle, submission = checked.bundle, checked.submission
    digests = [spec.digest() for spec in checked.specs]
    row = ExperimentRow(
        id=new_id("exp"),
        kind=str(checked.spec["kind"]),
        name=submission.name,
        labels=submission.labels,
        priority=submission.priority,
        spec=dict(checked.spec),
        sweep=submission.sweep,
        seeds=list(submission.seeds),
        execution=submission.execution.model_dump(mode="json"),
        max_seconds=submission.max_seconds,
        keep=submission.keep,
        digest=sha256_of({"imported": checked.sha256}),
        num_points=len(bundle.points),
        imported_from=bundle.experiment_id,
        imported_sha256=checked.sha256,
        created_at=bundle.created_at,
        started_at=bundle.started_at,
        finished_at=bundle.finished_at,
    )
    session.add(row)
    session.flush()
    points = [
        PlannedPoint(index, point.values, spec.model_dump(mode="json"), digest)
        for index, (point, spec, digest) in enumerate(
            zip(bundle.points, checked.specs, digests, strict=True)
        )
    ]
    point_ids = add_points(session, row.id, points)
    owners: dict[tuple[int, int], str] = {}
    for run, results in zip(bundle.runs, checked.results, strict=True):
        run_id = _store_run(session, row, point_ids[run.point], run, results)
        owners |= {(run.point, seed): run_id for seed in run.seeds}
        session.add_all(_make_file(session, run_id, file, files[file.sha256]) for file in run.files)
    session.flush()
    coming = iter(metrics)
    while part := [_metric_row(owners, one) for one in islice(coming, ROWS_AT_ONCE)]:
        store_metrics(session, part)
    append_event(session, row.id, EventName.EXPERIMENT_IMPORTED, {"from": bundle.experiment_id})
    refresh_status(session, row.id)
    return row


def _store_run(
    session: Session,
    row: ExperimentRow,
    point_id: str,
    run: BundledRun,
    results: Sequence[Mapping[str, Any]] | None,
) -> str:
    run_id = new_id("run")
    is_whole = results is not None
    session.add(
        RunRow(
            id=run_id,
            experiment_id=row.id,
            point_id=point_id,
            seeds=list(run.seeds),
            status=run.status,
            attempts=run.attempts,
            interruptions=run.interruptions,
            device=run.device,
            error_code=run.reason,
            error_detail=run.detail,
            progress_completed=float(is_whole),
            progress_total=1.0,
            result=[dict(one) for one in results] if results is not None else None,
            manifest=run.manifest,
            elapsed_seconds=run.elapsed_seconds,
            created_at=row.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
        )
    )
    session.flush()
    return run_id


def _make_file(session: Session, run_id: str, file: BundledFile, blob: StoredBlob) -> ArtifactRow:
    return ArtifactRow(
        id=new_id("art"),
        run_id=run_id,
        role=file.role,
        name=file.name,
        seed=file.seed,
        epoch=file.epoch,
        fence=0,
        media_type=file.media_type,
        sha256=blob.sha256,
        num_bytes=blob.num_bytes,
        created_at=database_now(session),
    )


def _metric_row(owners: Mapping[tuple[int, int], str], one: MetricPoint) -> dict[str, Any]:
    return {
        "run_id": owners[one.point, one.seed],
        "seed": one.seed,
        "name": one.name,
        "step": one.step,
        "value": one.value,
    }
