"""The run context backed by the store: every write carries the run's fence."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.context import FinishedTraining, ResumeState
from engine.durations import format_seconds
from engine.errors import RunCancelled, RunInterrupted, RunStopped, WeightsUnavailable
from engine.experiments.registry import get_kind, parse_spec
from engine.spec import TRAINING_VERSION, Execution, KeptCheckpoints, canonical_json
from runtime.fault_points import reach
from runtime.settings import Settings
from schemas.events import EventName
from storage.access.ownership import reading_as_owner
from storage.database.engine import Database, DatabaseUnavailable
from storage.errors import (
    CorruptBlob,
    NotFound,
    StorageFull,
    StorageUnavailable,
    UnreadableRow,
)
from storage.files.artifacts import (
    RESUME_GENERATIONS,
    Role,
    find_artifact,
    list_artifacts,
    register_artifact,
    resume_order,
)
from storage.files.blobs import BlobStore
from storage.files.datasets import get_dataset
from storage.files.trainings import find_trainings, register_training
from storage.files.weights import find_weights_blob
from storage.results.events import append_event
from storage.results.metrics import MetricValue, seed_metrics, write_metrics
from storage.runs.claim import Claim
from storage.runs.transitions import holds_run
from workers.lease import Lease
from workers.patient_blobs import PatientBlobs

FLUSH_SECONDS = 0.5
FLUSH_VALUES = 500
PROGRESS_EVENT_SECONDS = 2.0
RESUME_MEDIA_TYPE = "application/vnd.richregime.resume"
SEPARATOR = b"\n"
RETRY_SECONDS = 0.5
YIELD_SECONDS = 8.0
"""How long a run that is asked to yield may wait for its next save; then it stops without one."""
FIRST_VERSIONS = {"training": "1", "kind": "1"}
"""Of resume state without versions, which no later ones have written"""
SAVE_SHARE = 0.05
"""Largest share of a run's time that saving takes, whatever the size of its state."""

log = logging.getLogger("richregime.worker")


class LeaseLost(RunStopped):
    """Another worker may have claimed the run: stop, and write nothing."""


class RunTimedOut(Exception):
    """The run has computed for longer than its `max_seconds`."""


def engine_versions(kind: str) -> dict[str, str]:
    """Equal versions give equal numbers for equal specs: of the training, and of the kind."""
    return {"training": str(TRAINING_VERSION), "kind": str(get_kind(kind).spec.version)}


def write_while_held(
    db: Database, lease: Lease, move: Callable[[Any], bool], *, durable: bool = True
) -> bool:
    """Commit `move`; retry while the database is unavailable and the lease holds.

    Returns what `move` returns. Raises LeaseLost.
    """
    while True:
        if lease.is_lost:
            raise LeaseLost
        try:
            with db.write(durable=durable) as session:
                return move(session)
        except DatabaseUnavailable:
            time.sleep(RETRY_SECONDS)


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
        self.shared_checkpoints = KeptCheckpoints.model_validate(claim.shared_checkpoints or {})
        self.data_dir = settings.resolved_data_dir
        self.allow_download = settings.allow_download
        self._patient_blobs = PatientBlobs(blobs, self._stop_or_go_on)
        self._versions = engine_versions(claim.kind)
        self._resume_files: list[str] = []
        self._save_every = settings.checkpoint_seconds
        self._yield_requested_at: float | None = None
        self._has_moved = False
        """Progress since the last save. A save resets the run's count of lost workers; one without
        progress would let a run that kills its workers be retried for ever."""
        self.setup_seconds: float | None = None
        """Computing time of this attempt before its work began; None until then"""
        self._metrics: list[MetricValue] = []
        self._flushed_at = self._saved_at = self._progress_logged_at = time.monotonic()

    def registered_dataset(self, name: str) -> Path | None:
        with reading_as_owner(self._db, self.run_id) as session:
            row = get_dataset(session, name)
        return None if row is None else self._patient_blobs.path(row.sha256)

    def read_checkpoint(self, reference: str) -> bytes:
        try:
            with reading_as_owner(self._db, self.run_id) as session:
                sha256 = find_weights_blob(session, reference)
            return self._patient_blobs.read(sha256)
        except (NotFound, CorruptBlob) as error:
            raise WeightsUnavailable(str(error)) from None

    def log_metrics(self, seed: int, step: int, values: Mapping[str, float | None]) -> None:
        self._lease.note_activity()
        self._metrics += [(seed, name, step, value) for name, value in values.items()]
        late = time.monotonic() - self._flushed_at > FLUSH_SECONDS
        if late or len(self._metrics) >= FLUSH_VALUES:
            self.flush()

    def flush(self) -> None:
        """Write the buffered metrics. Raises LeaseLost."""
        if self._metrics:
            values, fence = self._metrics, self._claim.fence
            # A run that is resumed after a loss of power writes them anew.
            self._write(
                lambda session: write_metrics(session, self.run_id, fence, values), durable=False
            )
            self._metrics = []
        self._flushed_at = time.monotonic()

    def report_progress(self, completed: float, total: float, unit: str) -> None:
        self._lease.note_progress(completed, total, unit)
        if self.setup_seconds is None:
            self.setup_seconds = self._lease.elapsed_seconds - self._claim.elapsed_seconds
        else:
            self._has_moved = True
        now = time.monotonic()
        if now - self._progress_logged_at >= PROGRESS_EVENT_SECONDS:
            self._progress_logged_at = now
            self.log_event(
                EventName.RUN_PROGRESS,
                {"completed": round(completed, 3), "total": total, "unit": unit},
            )

    def log_event(self, name: str, data: Mapping[str, Any]) -> None:
        def move(session: Any) -> bool:
            if not holds_run(session, self.run_id, self._claim.fence):
                return False
            append_event(session, self._claim.experiment_id, name, data, self.run_id)
            return True

        self._write(move, durable=False)

    def check(self) -> None:
        """Stop the run where it must stop.

        Raises LeaseLost, RunCancelled, RunTimedOut, or RunInterrupted if no save followed a request
        to yield within YIELD_SECONDS.
        """
        reach("step")
        self._lease.note_step()
        if self._lease.is_lost:
            raise LeaseLost
        if self._lease.is_cancelled:
            self.flush()
            raise RunCancelled
        limit = self._claim.max_seconds
        if limit is not None and self._lease.elapsed_seconds > limit:
            self.flush()
            raise RunTimedOut(
                f"the run has computed for longer than {format_seconds(limit)}, its max_seconds"
            )
        if self._should_yield():
            now = time.monotonic()
            self._yield_requested_at = self._yield_requested_at or now
            if now - self._yield_requested_at > YIELD_SECONDS:
                raise RunInterrupted

    def _stop_or_go_on(self) -> None:
        """As `check`, while the run waits for its files: there is no step to finish."""
        self._lease.note_activity()
        if self._lease.is_lost:
            raise LeaseLost
        if self._lease.is_cancelled:
            raise RunCancelled
        if self._should_yield():
            raise RunInterrupted

    def should_save(self) -> bool:
        if self._should_yield():
            return True
        return self._has_moved and time.monotonic() - self._saved_at >= self._save_every

    def save_resume(self, resume: ResumeState) -> None:
        began = time.monotonic()
        reach("save.1")
        self.flush()
        header = {
            # Makes the file unique to this run, so that it can be deleted with its row.
            "run_id": self.run_id,
            "step": resume.step,
            "digest": self._claim.digest,
            "versions": self._versions,
            "state": dict(resume.state),
        }
        data = canonical_json(header).encode() + SEPARATOR + resume.tensors
        try:
            sha256 = self._store("resume", "resume", None, resume.step, RESUME_MEDIA_TYPE, data)
        except (StorageFull, StorageUnavailable) as error:
            self._note_not_saved(resume.step, error)
        else:
            reach("save.2")
            self._delete_old_generations(sha256)
            reach("save.3")
            self._has_moved = False
        self._saved_at = time.monotonic()
        spent = self._saved_at - began
        self._save_every = max(self._settings.checkpoint_seconds, spent / SAVE_SHARE)
        if self._should_yield():
            raise RunInterrupted

    def _note_not_saved(self, step: int, error: Exception) -> None:
        """The run goes on without this save, and tries again at the next one."""
        log.warning("run %s: step %d is not saved: %s", self.run_id, step, error)
        data = {"generation": step, "detail": str(error)}
        self.log_event(EventName.RUN_CHECKPOINT_NOT_SAVED, data)

    def _delete_old_generations(self, newest: str) -> None:
        if newest not in self._resume_files:
            self._resume_files.append(newest)
        while len(self._resume_files) > RESUME_GENERATIONS:
            self._blobs.discard(self._resume_files.pop(0))

    def load_resume(self) -> ResumeState | None:
        with self._db.read() as session:
            rows = sorted(
                list_artifacts(session, self.run_id, "resume"), key=resume_order, reverse=True
            )
        self._resume_files = [row.sha256 for row in reversed(rows)]
        for row in rows:
            try:
                found = self._parse_resume(self._patient_blobs.read(row.sha256))
            except (CorruptBlob, NotFound, ValueError, KeyError, TypeError) as error:
                self.log_event(
                    EventName.RUN_CHECKPOINT_UNREADABLE,
                    {"generation": row.epoch, "detail": str(error)},
                )
                continue
            self.log_event(EventName.RUN_RESUMED, {"generation": found.step})
            return found
        return None

    def _parse_resume(self, data: bytes) -> ResumeState:
        head, separator, tensors = data.partition(SEPARATOR)
        header = json.loads(head)
        if not separator or header["digest"] != self._claim.digest:
            raise ValueError("the resume state belongs to another spec")
        written_by = header.get("versions", FIRST_VERSIONS)
        if written_by != self._versions:
            raise ValueError(
                f"the resume state was written by another version of the engine ({written_by}; "
                f"this worker has {self._versions}), whose numbers may differ"
            )
        return ResumeState(header["step"], tensors, header["state"])

    def save_checkpoint(self, name: str, seed: int, epoch: int, data: bytes) -> None:
        self._store("checkpoint", name, seed, epoch, "application/vnd.safetensors", data)

    def save_artifact(self, name: str, seed: int | None, media_type: str, data: bytes) -> None:
        self._store("artifact", name, seed, None, media_type, data)

    def _store(
        self,
        role: Role,
        name: str,
        seed: int | None,
        epoch: int | None,
        media_type: str,
        data: bytes,
    ) -> str:
        """Store the bytes and their row; returns their sha256. Raises LeaseLost."""
        # A save of resume state can be left out; everything else is waited for.
        blobs = self._blobs if role == "resume" else self._patient_blobs
        blob = blobs.put(data)

        def move(session: Any) -> bool:
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
            reach("register.1")
            return found is not None

        self._lease.note_activity()
        self._write(move)
        reach("register.2")
        if not blobs.exists(blob.sha256):
            # A sweep may delete an orphan with the same bytes before the row is written.
            blobs.put(data)
        return blob.sha256

    def load_checkpoint(self, name: str, seed: int) -> bytes:
        with self._db.read() as session:
            found = find_artifact(session, [self.run_id], name, seed, role="checkpoint")
        assert found is not None, f"this run has not stored {name!r} of seed {seed}"
        return self._patient_blobs.read(found.sha256)

    def find_training(
        self, digest: str, seed: int, names: Sequence[str] = ()
    ) -> FinishedTraining | None:
        with reading_as_owner(self._db, self.run_id) as session:
            wanted = ("theta_0", "theta_T", *names)
            others = {*wanted, *self.shared_checkpoints.names}
            for row in find_trainings(session, digest, seed, self.run_id, others):
                if row.run_id != self.run_id and not self._claim.reuse:
                    return None
                files = {
                    name: find_artifact(session, [row.run_id], name, seed, role="checkpoint")
                    for name in wanted
                }
                if None not in files.values():
                    break
            else:
                return None
            metrics = seed_metrics(session, row.run_id, seed)
        try:
            data = {
                name: self._patient_blobs.read(file.sha256)
                for name, file in files.items()
                if file is not None
            }
            theta_0, theta_T = data.pop("theta_0"), data.pop("theta_T")
            return FinishedTraining(row.run_id, theta_0, theta_T, row.result, metrics, data)
        except (CorruptBlob, NotFound, UnreadableRow) as error:
            self.log_event(
                EventName.RUN_CHECKPOINT_UNREADABLE, {"run_id": row.run_id, "detail": str(error)}
            )
            return None

    def register_training(self, digest: str, seed: int, result: Mapping[str, Any]) -> None:
        self.flush()
        spec_digest = parse_spec(self._claim.spec).training_spec_digest(self.execution)
        self._write(
            lambda session: register_training(
                session,
                digest=digest,
                spec_digest=spec_digest,
                seed=seed,
                run_id=self.run_id,
                fence=self._claim.fence,
                result=dict(result),
            )
        )

    def _write(self, move: Callable[[Any], bool], *, durable: bool = True) -> None:
        if not write_while_held(self._db, self._lease, move, durable=durable):
            raise LeaseLost
