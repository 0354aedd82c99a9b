"""Invariants that must hold after any fault, checked on rows and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import col, select

from schemas.status import ExperimentStatus, RunStatus
from storage.database.engine import Database, as_utc
from storage.database.tables import ArtifactRow, EventRow, ExperimentRow, PointRow, RunRow
from storage.files.artifacts import referenced_blobs
from storage.files.blobs import BlobStore
from storage.files.retention import sweep_orphans
from storage.results.metrics import read_metrics

FINAL_EVENTS = {"run.succeeded", "run.failed", "run.cancelled"}
RELEASING_EVENTS = FINAL_EVENTS | {"run.lease_lost", "run.interrupted"}

Bits = tuple[Any, ...]
"""All numbers and files of a run, without what depends on when and where it ran."""
Reference = Mapping[tuple[str, tuple[int, ...]], Bits]
"""Bits of undisturbed runs by the point's digest and seeds."""


@dataclass(slots=True)
class Findings:
    """Violations, by invariant."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    bits: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    compared: int = 0
    """Number of runs whose bits were compared"""

    def all(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.stale, *self.bits, *self.files]

    def __str__(self) -> str:
        counts = {
            name: len(getattr(self, name)) for name in ("lost", "doubled", "stale", "bits", "files")
        }
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        return f"{listed}; bits of {self.compared} runs compared"


def assert_invariants(
    db: Database, blobs: BlobStore, accepted: Iterable[str], reference: Reference | None = None
) -> Findings:
    """Fail with all violations of these experiments, which must have ended, and of the files."""
    found = examine(db, blobs, accepted, reference or {})
    assert found.all() == [], str(found)
    return found


def examine(
    db: Database, blobs: BlobStore, accepted: Iterable[str], reference: Reference
) -> Findings:
    found = Findings()
    for experiment_id in accepted:
        _examine_experiment(db, experiment_id, reference, found)
    _examine_files(db, blobs, found)
    return found


def bits_of(db: Database, run_id: str) -> Bits:
    with db.read() as session:
        row = session.get_one(RunRow, run_id)
        seed_results = [
            {
                name: value
                for name, value in seed_result.items()
                if name not in ("timings", "reused_from")
            }
            for seed_result in row.result or []
        ]
        files = session.exec(
            select(ArtifactRow.role, ArtifactRow.name, ArtifactRow.seed, ArtifactRow.sha256)
            .where(ArtifactRow.run_id == run_id, ArtifactRow.role != "resume")
            .order_by(col(ArtifactRow.role), col(ArtifactRow.name), col(ArtifactRow.seed))
        ).all()
        metrics = [(m.seed, m.name, m.step, m.value) for m in read_metrics(session, run_id=run_id)]
    return (seed_results, [tuple(one) for one in files], metrics)


def _examine_experiment(
    db: Database, experiment_id: str, reference: Reference, found: Findings
) -> None:
    with db.read() as session:
        experiment = session.get(ExperimentRow, experiment_id)
        if experiment is None:
            found.lost.append(f"{experiment_id}: its row is gone")
            return
        runs = session.exec(select(RunRow).where(RunRow.experiment_id == experiment_id)).all()
        events = session.exec(
            select(EventRow)
            .where(EventRow.experiment_id == experiment_id)
            .order_by(col(EventRow.sequence))
        ).all()
        points = session.exec(select(PointRow).where(PointRow.experiment_id == experiment_id))
        digests = {point.id: point.digest for point in points}
        files = session.exec(
            select(ArtifactRow).where(col(ArtifactRow.run_id).in_([r.id for r in runs]))
        ).all()
    if [event.sequence for event in events] != list(range(1, len(events) + 1)):
        found.lost.append(f"{experiment_id}: its events have gaps")
    finished = sum(event.name == "experiment.finished" for event in events)
    if not experiment.status.is_terminal or finished < 1:
        found.lost.append(f"{experiment_id}: is {experiment.status}, finished {finished} times")
    if finished > 1:
        found.doubled.append(f"{experiment_id}: finished {finished} times")
    if experiment.status is ExperimentStatus.SUCCEEDED and experiment.summary is None:
        found.lost.append(f"{experiment_id}: has no summary")
    for run in runs:
        _examine_run(run, [event for event in events if event.run_id == run.id], files, found)
        expected = reference.get((digests[run.point_id], tuple(run.seeds)))
        if run.status is RunStatus.SUCCEEDED and expected is not None:
            found.compared += 1
            if bits_of(db, run.id) != expected:
                found.bits.append(f"{run.id}: other bits than an undisturbed run")


def _examine_run(
    run: RunRow, events: list[EventRow], files: Iterable[ArtifactRow], found: Findings
) -> None:
    if not run.status.is_terminal:
        found.lost.append(f"{run.id}: is {run.status}")
    ends = [event.name for event in events if event.name in FINAL_EVENTS]
    if len(ends) != 1:
        (found.doubled if len(ends) > 1 else found.lost).append(f"{run.id}: ended {ends}")
    elif ends[0] != f"run.{run.status}":
        found.doubled.append(f"{run.id}: is {run.status} but {ends[0]}")
    holds: dict[int, list[Any]] = {}
    fence: int | None = None
    for event in events:
        at = as_utc(event.at)
        if event.name == "run.started":
            fence = int(event.data["fence"])
            holds[fence] = [at, None]
        elif event.name in RELEASING_EVENTS:
            if fence is not None:
                holds[fence][1] = at
            fence = None
        elif fence is None and event.name not in ("run.queued",):
            found.stale.append(f"{run.id}: {event.name} while no worker held it")
    for file in files:
        if file.run_id != run.id:
            continue
        since, until = holds.get(file.fence, (None, None))
        written = as_utc(file.created_at)
        if since is None or written < since or (until is not None and written > until):
            found.stale.append(
                f"{run.id}: {file.role} {file.name} under fence {file.fence} was not valid then"
            )
        if file.role == "resume" and run.status is not RunStatus.QUEUED and run.status.is_terminal:
            found.files.append(f"{run.id}: resume state outlives its run")


def _examine_files(db: Database, blobs: BlobStore, found: Findings) -> None:
    """After a sweep exactly the referenced files must be left, each undamaged."""
    sweep_orphans(db, blobs, older_than_seconds=-1)
    left = {name for name, _ in blobs.list_older_than(-1, float("inf"))}
    with db.read() as session:
        known = set(session.exec(select(ArtifactRow.sha256)).all())
        found.files += [f"{name}: an orphan" for name in left - referenced_blobs(session, left)]
    for sha256 in known:
        try:
            blobs.read(sha256)
        except Exception as error:  # noqa: BLE001 - reported as a finding
            found.files.append(f"{sha256}: {error}")
