"""The outside of a run, over the archive: everything is written under the run's fence."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.context import FinishedTraining, ResumeState
from engine.errors import RunCancelled, RunInterrupted, RunStopped, WeightsUnavailable
from engine.spec import Execution, canonical_json
from schemas.events import EventName
from storage.artifacts import (
    find_artifact,
    find_training,
    get_artifact,
    list_artifacts,
    register_artifact,
    register_training,
)
from storage.blobs import BlobStore
from storage.datasets import get_dataset
from storage.db import Database
from storage.errors import CorruptBlob, NotFound
from storage.events import append_event
from storage.metrics import MetricValue, seed_metrics, write_metrics
from storage.runs import Claim, holds_run
from storage.settings import Settings
from workers.lease import Lease

FLUSH_SECONDS = 0.5
FLUSH_VALUES = 500
PROGRESS_EVENT_SECONDS = 2.0
RESUME_MEDIA_TYPE = "application/vnd.richregime.resume"
SEPARATOR = b"\n"


class LeaseLost(RunStopped):
    """Another worker may have the run now: stop, and write nothing."""


class RunTimedOut(Exception):
    """The run has computed for longer than the user allows."""


class StoredRunContext:
    """`engine.context.RunContext` for a claimed run."""

    def __init__(
        self,
        db: Database,
        blobs: BlobStore,
        settings: Settings,
        claim: Claim,
        lease: Lease,
        device: str,
        should_yield: Callable[[], bool],
    ) -> None:
        self._db, self._blobs, self._settings = db, blobs, settings
        self._claim, self._lease, self._should_yield = claim, lease, should_yield
        self.run_id = claim.run_id
        self.seeds = claim.seeds
        self.execution = Execution.model_validate({**claim.execution, "device": device})
        self.num_threads = settings.resolved_threads_per_run
        self.data_dir = settings.resolved_data_dir
        self.allow_download = settings.allow_download
        self.data_sha256: str | None = None
        self._metrics: list[MetricValue] = []
        self._began = time.monotonic()
        self._flushed_at = self._saved_at = self._told_at = self._began

    def registered_dataset(self, name: str) -> Path | None:
        with self._db.read() as session:
            row = get_dataset(session, name)
        return None if row is None else self._blobs.path(row.sha256)

    def read_checkpoint(self, reference: str) -> bytes:
        try:
            with self._db.read() as session:
                row = get_artifact(session, reference)
            return self._blobs.read(row.sha256)
        except (NotFound, CorruptBlob) as error:
            raise WeightsUnavailable(str(error)) from None

    def log_metrics(self, seed: int, step: int, values: Mapping[str, float | None]) -> None:
        self._metrics += [(seed, name, step, value) for name, value in values.items()]
        late = time.monotonic() - self._flushed_at > FLUSH_SECONDS
        if late or len(self._metrics) >= FLUSH_VALUES:
            self.flush()

    def flush(self) -> None:
        """Write the buffered metrics. Raises LeaseLost."""
        if self._metrics:
            with self._db.write() as session:
                self._require(write_metrics(session, self.run_id, self._claim.fence, self._metrics))
            self._metrics = []
        self._flushed_at = time.monotonic()

    def report_progress(self, completed: float, total: float, unit: str) -> None:
        self._lease.note_progress(completed, total, unit)
        now = time.monotonic()
        if now - self._told_at >= PROGRESS_EVENT_SECONDS:
            self._told_at = now
            self.log_event(
                EventName.RUN_PROGRESS, {"completed": round(completed, 3), "total": total, "unit": unit}
            )

    def log_event(self, name: str, data: Mapping[str, Any]) -> None:
        with self._db.write() as session:
            self._require(holds_run(session, self.run_id, self._claim.fence))
            append_event(session, self._claim.experiment_id, name, data, self.run_id)

    def check(self) -> None:
        if self._lease.is_lost:
            raise LeaseLost
        if self._lease.is_cancelled:
            self.flush()
            raise RunCancelled
        limit = self._claim.max_seconds
        if limit is not None and self._claim.elapsed_seconds + time.monotonic() - self._began > limit:
            self.flush()
            raise RunTimedOut(f"the run has computed for longer than its max_seconds of {limit}")

    def should_save(self) -> bool:
        return self._should_yield() or time.monotonic() - self._saved_at >= self._settings.checkpoint_seconds

    def save_resume(self, resume: ResumeState) -> None:
        self.flush()
        header = {"step": resume.step, "digest": self._claim.digest, "state": dict(resume.state)}
        blob = self._blobs.put(canonical_json(header).encode() + SEPARATOR + resume.tensors)
        self._register("resume", "resume", None, resume.step, RESUME_MEDIA_TYPE, blob)
        self._saved_at = time.monotonic()
        if self._should_yield():
            raise RunInterrupted

    def load_resume(self) -> ResumeState | None:
        with self._db.read() as session:
            rows = sorted(
                list_artifacts(session, self.run_id, "resume"), key=lambda row: row.id, reverse=True
            )
        for row in rows:
            try:
                found = self._parse_resume(self._blobs.read(row.sha256))
            except (CorruptBlob, NotFound, ValueError) as error:
                self.log_event(
                    EventName.RUN_CHECKPOINT_UNREADABLE, {"generation": row.epoch, "detail": str(error)}
                )
                continue
            self.log_event(EventName.RUN_RESUMED, {"generation": found.step})
            return found
        return None

    def _parse_resume(self, data: bytes) -> ResumeState:
        import json

        head, separator, tensors = data.partition(SEPARATOR)
        header = json.loads(head)
        if not separator or header["digest"] != self._claim.digest:
            raise ValueError("the resume state belongs to another spec")
        return ResumeState(header["step"], tensors, header["state"])

    def save_checkpoint(self, name: str, seed: int, epoch: int, data: bytes) -> None:
        self._register("checkpoint", name, seed, epoch, "application/vnd.safetensors", self._blobs.put(data))

    def save_artifact(self, name: str, seed: int | None, media_type: str, data: bytes) -> None:
        self._register("artifact", name, seed, None, media_type, self._blobs.put(data))

    def _register(
        self, role: Any, name: str, seed: int | None, epoch: int | None, media_type: str, blob: Any
    ) -> None:
        with self._db.write() as session:
            found = register_artifact(
                session,
                run_id=self.run_id,
                fence=self._claim.fence,
                role=role,
                name=name,
                seed=seed,
                epoch=epoch,
                media_type=media_type,
                blob=blob,
            )
            self._require(found is not None)

    def find_training(self, digest: str, seed: int) -> FinishedTraining | None:
        with self._db.read() as session:
            row = find_training(session, digest, seed, prefer_run=self.run_id)
            if row is None or (row.run_id != self.run_id and not self._claim.reuse):
                return None
            thetas = [
                find_artifact(session, [row.run_id], name, seed, role="checkpoint")
                for name in ("theta_0", "theta_T")
            ]
            metrics = seed_metrics(session, row.run_id, seed)
        if None in thetas:
            return None
        try:
            theta_0, theta_T = (self._blobs.read(theta.sha256) for theta in thetas if theta is not None)
        except (CorruptBlob, NotFound) as error:
            self.log_event(EventName.RUN_CHECKPOINT_UNREADABLE, {"run_id": row.run_id, "detail": str(error)})
            return None
        return FinishedTraining(row.run_id, theta_0, theta_T, row.result, metrics)

    def register_training(self, digest: str, seed: int, result: Mapping[str, Any]) -> None:
        self.flush()
        with self._db.write() as session:
            self._require(
                register_training(
                    session,
                    digest=digest,
                    seed=seed,
                    run_id=self.run_id,
                    fence=self._claim.fence,
                    result=dict(result),
                )
            )

    @staticmethod
    def _require(held: bool) -> None:
        if not held:
            raise LeaseLost
