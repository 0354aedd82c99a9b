"""Store an experiment that another service has computed.

It is read-only, is never reused by a submission, and no worker executes its runs. Its metrics are
stored in slices while it is hidden (see `storage.experiments.hidden`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from storage.errors import NotFound
from storage.experiments.create import PlannedPoint, add_point_seeds, add_points
from storage.experiments.status import refresh_status
from storage.files.blobs import StoredBlob
from storage.results.events import append_event
from storage.results.metrics import MetricPoint


@dataclass(frozen=True, slots=True)
class CheckedBundle:
    """A bundle whose specs have all been parsed."""

    bundle: Bundle
    sha256: str
    """Digest of the uploaded archive"""
    submission: Submission
    seeds: Sequence[int]
    spec: Mapping[str, Any]
    """The spec without the sweep, with every default filled in"""
    specs: Sequence[ExperimentSpec]
    """One a point"""
    results: Sequence[Sequence[Mapping[str, Any]] | None]
    """The seed results of each run; None where it has none"""
    num_metrics: int


def find_imported(session: Session, sha256: str) -> ExperimentRow | None:
    """The experiment that was imported from the archive with this digest."""
    return session.scalars(
        select(ExperimentRow).where(
            ExperimentRow.imported_sha256 == sha256, ExperimentRow.hidden_at.is_(None)
        )
    ).first()


def store_hidden(
    session: Session, checked: CheckedBundle, files: Mapping[str, StoredBlob]
) -> tuple[str, dict[tuple[int, int], str]]:
    """Store the bundle, without its metrics, under new ids as a hidden experiment.

    files: the stored files of the bundle by sha256.
    Returns its id, and the run of each (point, seed). `show_imported` makes it visible.
    """
    bundle, submission = checked.bundle, checked.submission
    digests = [spec.digest() for spec in checked.specs]
    row = ExperimentRow(
        id=new_id("exp"),
        kind=str(checked.spec["kind"]),
        name=submission.name,
        labels=submission.labels,
        notes=bundle.notes,
        priority=submission.priority,
        spec=dict(checked.spec),
        sweep=submission.sweep,
        seeds=list(checked.seeds),
        seed_plan=None if bundle.seed_plan is None else bundle.seed_plan.model_dump(mode="json"),
        claims=[claim.to_json() for claim in submission.claims],
        execution=submission.execution.model_dump(mode="json"),
        max_seconds=submission.max_seconds,
        keep=submission.keep,
        digest=sha256_of({"imported": checked.sha256}),
        num_points=len(bundle.points),
        imported_from=bundle.experiment_id,
        imported_sha256=checked.sha256,
        hidden_at=database_now(session),
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
    run_ids: dict[tuple[int, int], str] = {}
    for run, results in zip(bundle.runs, checked.results, strict=True):
        run_id = _store_run(session, row, point_ids[run.point], run, results)
        add_point_seeds(session, [(point_ids[run.point], run.seeds)])
        run_ids |= {(run.point, seed): run_id for seed in run.seeds}
        session.add_all(
            _artifact_row(session, run_id, file, files[file.sha256]) for file in run.files
        )
    session.flush()
    return row.id, run_ids


def metric_rows(
    run_ids: Mapping[tuple[int, int], str], metrics: Iterable[MetricPoint]
) -> Iterator[dict[str, Any]]:
    """Rows of metrics. Of several values for one metric, seed and step the last is stored."""
    for one in metrics:
        yield {
            "run_id": run_ids[one.point, one.seed],
            "seed": one.seed,
            "name": one.name,
            "step": one.step,
            "value": one.value,
        }


def show_imported(session: Session, experiment_id: str) -> ExperimentRow:
    """Make the imported experiment visible. Raises NotFound where it was removed meanwhile."""
    row = session.get(ExperimentRow, experiment_id, with_for_update=True)
    if row is None:
        raise NotFound("the import was interrupted for too long; send the archive again")
    row.hidden_at = None
    session.add(row)
    append_event(session, experiment_id, EventName.EXPERIMENT_IMPORTED, {"from": row.imported_from})
    refresh_status(session, experiment_id)
    return row


def _store_run(
    session: Session,
    row: ExperimentRow,
    point_id: str,
    run: BundledRun,
    results: Sequence[Mapping[str, Any]] | None,
) -> str:
    run_id = new_id("run")
    has_results = results is not None
    session.add(
        RunRow(
            id=run_id,
            experiment_id=row.id,
            owner=row.owner,
            point_id=point_id,
            seeds=list(run.seeds),
            status=run.status,
            attempts=run.attempts,
            interruptions=run.interruptions,
            device=run.device,
            error_code=run.reason,
            error_detail=run.detail,
            progress_completed=float(has_results),
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


def _artifact_row(
    session: Session, run_id: str, file: BundledFile, blob: StoredBlob
) -> ArtifactRow:
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
