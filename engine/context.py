"""The interface between a run and its environment: bytes and JSON only, no torch.

`engine.local` implements it over a folder, the service's workers over storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from engine.spec import Execution, KeptCheckpoints


@dataclass(frozen=True, slots=True)
class ResumeState:
    """What a run needs to resume with equal bits: safetensors bytes, and JSON for the rest."""

    step: int
    """Increases with every save and identifies the save."""
    tensors: bytes
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FinishedTraining:
    """One seed's training, finished by this run or another."""

    run_id: str
    theta_0: bytes
    """safetensors, one tensor a parameter (and buffer), names as in the model"""
    theta_T: bytes
    result: Mapping[str, Any]
    """The training part of that seed's result: test accuracy, loss, timings, outcome."""
    metrics: Sequence[tuple[str, int, float | None]]
    """(name, step, value) logged by the training; a run that reuses it logs them as its own."""
    checkpoints: Mapping[str, bytes] = field(default_factory=dict)
    """The kept checkpoints that were asked for, by name"""


class RunContext(Protocol):
    """The environment of one run: one point with some of its seeds."""

    @property
    def run_id(self) -> str:
        """Distinguishes this run's own trainings from those of other runs."""
        ...

    @property
    def seeds(self) -> tuple[int, ...]: ...

    @property
    def execution(self) -> Execution:
        """Device resolved: `cpu` or `cuda`, never `auto`."""
        ...

    @property
    def shared_checkpoints(self) -> KeptCheckpoints:
        """Moments at which a training of this run keeps its weights for other points that use it.

        They are in addition to those that the spec needs.
        """
        ...

    @property
    def data_dir(self) -> Path:
        """Folder of data sets and pretrained weights; downloads go there."""
        ...

    @property
    def allow_download(self) -> bool: ...

    def registered_dataset(self, name: str) -> Path | None:
        """The `.npz` file of a registered data set, or None."""
        ...

    def read_checkpoint(self, reference: str) -> bytes:
        """The bytes of a theta file. Raises WeightsUnavailable."""
        ...

    def log_metrics(self, seed: int, step: int, values: Mapping[str, float | None]) -> None:
        """Log metrics of a seed at a step. Buffered; a repeated (seed, name, step) overwrites."""
        ...

    def report_progress(self, completed: float, total: float, unit: str) -> None:
        """Report the progress of the whole run. Cheap enough to call every step.

        The first report ends the run's set-up and comes before any work.
        """
        ...

    def log_event(self, name: str, data: Mapping[str, Any]) -> None:
        """Log an event with its time, e.g. `run.resumed`, `training.not_finite`."""
        ...

    def check(self) -> None:
        """Raise RunCancelled if the run must end now. Cheap: call it every step."""
        ...

    def should_save(self) -> bool:
        """Whether to save resume state before the next step.

        True when the save interval has passed or the run must yield.
        """
        ...

    def save_resume(self, resume: ResumeState) -> None:
        """Store resume state; the last two saves are kept.

        Raises RunInterrupted after the save if the run must yield.
        """
        ...

    def load_resume(self) -> ResumeState | None:
        """The newest readable resume state of this run, or None if there is none."""
        ...

    def save_checkpoint(self, name: str, seed: int, epoch: int, data: bytes) -> None:
        """Store a theta file (`theta_0`, `theta_T`, `epoch_1`, `step_20`): safetensors bytes."""
        ...

    def load_checkpoint(self, name: str, seed: int) -> bytes:
        """A theta file that this run has stored."""
        ...

    def save_artifact(self, name: str, seed: int | None, media_type: str, data: bytes) -> None:
        """Store a file with the result. A repeated (name, seed) replaces it."""
        ...

    def find_training(
        self, digest: str, seed: int, names: Sequence[str] = ()
    ) -> FinishedTraining | None:
        """A finished training with this digest that has kept the checkpoints `names`, or None.

        Trainings of earlier attempts of this run are always found; those of other runs only if the
        user allows reuse, and if they have kept `shared_checkpoints` too: else a point that needs
        fewer would load one, and each of the others would train.
        """
        ...

    def register_training(self, digest: str, seed: int, result: Mapping[str, Any]) -> None:
        """Make this seed's training (its saved theta_0 and theta_T) available to later runs."""
        ...
