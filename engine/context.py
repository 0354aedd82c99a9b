"""All the outside that a run may touch, as one protocol. Bytes and JSON only: no torch crosses it.

Implemented by a folder (`engine.local`) and by the service's workers; a kind never knows which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.spec import Execution


@dataclass(frozen=True, slots=True)
class ResumeState:
    """What a run needs to go on with equal bits: tensors as safetensors bytes, the rest as JSON."""

    step: int
    """Grows with every save; names the generation."""
    tensors: bytes
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FinishedTraining:
    """One seed's training that some run has already done."""

    run_id: str
    theta_0: bytes
    """safetensors, one tensor a parameter (and buffer), names as in the model"""
    theta_T: bytes
    result: Mapping[str, Any]
    """The training part of that seed's result: test accuracy, loss, timings, outcome."""
    metrics: Sequence[tuple[str, int, float | None]]
    """(name, step, value) logged by the training; a run that reuses it logs them again as its own."""


class RunContext(Protocol):
    """The outside of one run of one point with some of its seeds."""

    @property
    def run_id(self) -> str:
        """Tells this run's own trainings from those of others."""
        ...

    @property
    def seeds(self) -> tuple[int, ...]: ...

    @property
    def execution(self) -> Execution:
        """Device resolved: `cpu` or `cuda`, never `auto`."""
        ...

    @property
    def num_threads(self) -> int:
        """Intra-operation threads this run may use on the CPU."""
        ...

    @property
    def data_dir(self) -> Path:
        """Folder in which data sets and pretrained weights are kept or downloaded to."""
        ...

    @property
    def allow_download(self) -> bool: ...

    def registered_dataset(self, name: str) -> Path | None:
        """The `.npz` of a data set that a user has registered, or None."""
        ...

    def read_checkpoint(self, reference: str) -> bytes:
        """A theta file by reference. Raises WeightsUnavailable."""
        ...

    def log_metrics(self, seed: int, step: int, values: Mapping[str, float | None]) -> None:
        """Numbers at a step of a seed. Buffered; logging the same (seed, name, step) again overwrites."""
        ...

    def report_progress(self, completed: float, total: float, unit: str) -> None:
        """How far the whole run is. Cheap: may be called every step."""
        ...

    def log_event(self, name: str, data: Mapping[str, Any]) -> None:
        """A dated fact about the run, e.g. `run.resumed`, `training.not_finite`."""
        ...

    def check(self) -> None:
        """Raise RunCancelled where the run must end now. Cheap: call it every step."""
        ...

    def should_save(self) -> bool:
        """Whether resume state should be saved at the next step boundary: the interval has passed, or the run is asked to yield."""
        ...

    def save_resume(self, resume: ResumeState) -> None:
        """Store resume state (two generations are kept). Raises RunInterrupted afterwards where the run is asked to yield."""
        ...

    def load_resume(self) -> ResumeState | None:
        """The newest readable resume state of this run, or None at the first attempt."""
        ...

    def save_checkpoint(self, name: str, seed: int, epoch: int, data: bytes) -> None:
        """Keep a theta file (`theta_0`, `theta_T`): safetensors bytes."""
        ...

    def save_artifact(self, name: str, seed: int | None, media_type: str, data: bytes) -> None:
        """Keep a file beside the result. The same (name, seed) again replaces it."""
        ...

    def find_training(self, digest: str, seed: int) -> FinishedTraining | None:
        """A finished training with this digest, or None.

        One that an earlier attempt of this run has registered is always found; others only where the user allows reuse.
        """
        ...

    def register_training(self, digest: str, seed: int, result: Mapping[str, Any]) -> None:
        """Offer this seed's training (its saved theta_0 and theta_T) to later runs."""
        ...
