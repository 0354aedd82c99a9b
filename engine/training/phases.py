"""Runs of several trainings: a plain one, then masked ones that start from what it found.

A run that is killed resumes in the middle of the training that it was in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.context import FinishedTraining, ResumeState, RunContext
from engine.models.weights import load_tensors, save_tensors, select_prefix
from engine.result import Outcome, ResultModel
from engine.spec import CheckpointsSpec, Execution, ExperimentSpec, KeptCheckpoints
from engine.training.loop import StartMasked, train
from engine.training.outcome import TrainedSeed
from engine.training.saves import Saves

Curves = dict[str, dict[str, list[float | None]]]
"""By metric: `epoch`s and `value`s, in their order"""
PLAIN_RESUME: Mapping[str, Any] = {"finished": []}
"""Read by the plain training, which is finished once a phase has begun"""


class MaskedTraining(ResultModel):
    """How the masked training of one seed ended."""

    outcome: Outcome
    test_accuracy: float
    """In [0, 1]."""
    best_epoch: int | None
    """The evaluated epoch with the lowest test loss, where early stopping would stop; null if no
    loss was finite."""
    train_seconds: float
    """Load, forward, backward and optimiser."""
    stacked_seeds: int = 1
    """Seeds in the stack that it trained in: their times are one measurement"""
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _State:
    """What is saved with every resume state, as JSON."""

    phase: str = ""
    """The present one"""
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By phase and seed: a `MaskedTraining`"""
    curves: dict[str, dict[str, Curves]] = field(default_factory=dict)
    """By phase and seed: what its training logged"""
    finished: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By seed that has finished the present phase: its training"""


class Phases:
    """The trainings of one run, one after the other.

    kept: tensors of the caller that are saved with the run, for what a phase needs of an earlier
    one. They may change when a phase ends, by `on_end`.
    """

    def __init__(self, spec: ExperimentSpec, ctx: RunContext, num_phases: int) -> None:
        """num_phases: how many masked trainings of each seed will follow the plain one."""
        self._spec, self._ctx, self._num_phases = spec, ctx, num_phases
        self._saves, self._state = Saves(ctx), _State()
        self._inner: ResumeState | None = None
        self._thetas: dict[str, bytes] = {}
        """Of the present phase: `theta_0.SEED` where a seed begins, `theta_T.SEED` where it ends"""
        self.kept: dict[str, Tensor] = {}
        resume = self._saves.loaded
        if resume is not None and "phases" in resume.state:
            tensors = load_tensors(resume.tensors)
            self._state = _State(**resume.state["phases"])
            inner = save_tensors(select_prefix("inner.", tensors))
            self._inner = ResumeState(resume.step, inner, resume.state["inner"])
            self.kept = select_prefix("kept.", tensors)
            self._thetas = {
                key: save_tensors(select_prefix(f"{key}.", tensors))
                for key in resume.state["thetas"]
            }

    def train_plain(self) -> list[TrainedSeed]:
        """The training of the spec, or one that was loaded instead."""
        afterwards = self._spec.epochs * self._num_phases
        return train(self._spec, self._ctx, epochs_afterwards=afterwards, saves=self._saves)

    def train_masked(
        self,
        phase: str,
        start: StartMasked,
        on_end: Callable[[TrainedSeed], None] | None = None,
    ) -> dict[int, MaskedTraining]:
        """The masked training of every seed, by seed; read where this phase had ended before.

        phase: a name that the run gives no other. on_end: called with each seed's training at the
        end of the phase, before anything else is saved.
        """
        if phase not in self._state.done:
            if phase != self._state.phase:
                self._inner, self._thetas = None, {}
                self._state.phase, self._state.finished = phase, {}
            update = {"checkpoints": CheckpointsSpec(), "probes": None}
            found = train(
                self._spec.model_copy(update=update),
                _PhaseContext(self._ctx, self),
                start_masked=start,
            )
            self._state.done[phase] = {
                str(one.seed): self._summarise(phase, one).model_dump(mode="json") for one in found
            }
            for one in found:
                if on_end is not None:
                    on_end(one)
        done = self._state.done[phase]
        return {seed: MaskedTraining.model_validate(done[str(seed)]) for seed in self._ctx.seeds}

    def curves(self, seed: int) -> dict[str, Curves]:
        """By phase that trained: what the masked training of the seed logged, by epoch."""
        return {phase: by_seed[str(seed)] for phase, by_seed in self._state.curves.items()}

    def _summarise(self, phase: str, trained: TrainedSeed) -> MaskedTraining:
        losses = self._state.curves[phase][str(trained.seed)]["test_loss"]
        finite = [
            (loss, epoch)
            for epoch, loss in zip(losses["epoch"], losses["value"], strict=True)
            if loss is not None and epoch is not None
        ]
        return MaskedTraining(
            outcome=trained.outcome,
            test_accuracy=trained.test_accuracy,
            best_epoch=int(min(finite)[1]) if finite else None,
            train_seconds=trained.timings.train_seconds,
            stacked_seeds=trained.timings.stacked_seeds,
            notes=trained.notes,
        )

    @property
    def present(self) -> str:
        """The phase that trains."""
        return self._state.phase

    def log(self, seed: int, epoch: int, values: Mapping[str, float | None]) -> None:
        curves = self._state.curves.setdefault(self._state.phase, {}).setdefault(str(seed), {})
        for name, value in values.items():
            curve = curves.setdefault(name, {"epoch": [], "value": []})
            if epoch not in curve["epoch"]:  # a training that resumed evaluates its start again
                curve["epoch"].append(epoch)
                curve["value"].append(value)

    def report(self, share: float) -> None:
        """share: of the present phase."""
        done = 1 + len(self._state.done) + share
        unit = len(self._ctx.seeds) * self._spec.epochs
        self._ctx.report_progress(unit * done, unit * (1 + self._num_phases), "seed-epochs")

    def keep_theta(self, name: str, seed: int, data: bytes) -> None:
        self._thetas[f"{name}.{seed}"] = data

    def finish_seed(self, seed: int, result: Mapping[str, Any]) -> None:
        self._state.finished[str(seed)] = dict(result)

    def find_seed(self, seed: int) -> FinishedTraining | None:
        result = self._state.finished.get(str(seed))
        if result is None:
            return None
        theta_0, theta_T = self._thetas[f"theta_0.{seed}"], self._thetas[f"theta_T.{seed}"]
        return FinishedTraining(self._ctx.run_id, theta_0, theta_T, result, ())

    def save(self, inner: ResumeState) -> None:
        tensors = _below("inner.", load_tensors(inner.tensors)) | _below("kept.", self.kept)
        for key, theta in self._thetas.items():
            tensors |= _below(f"{key}.", load_tensors(theta))
        state = {
            **PLAIN_RESUME,
            "phases": asdict(self._state),
            "thetas": list(self._thetas),
            "inner": dict(inner.state),
        }
        self._saves.write(state, tensors)

    def load(self) -> ResumeState | None:
        """The resume state of the present phase, if the run was killed in it."""
        return self._inner


class _PhaseContext:
    """`RunContext` of a masked training: what it logs, saves and finds stays within the run."""

    shared_checkpoints = KeptCheckpoints()

    def __init__(self, ctx: RunContext, phases: Phases) -> None:
        self._ctx, self._phases = ctx, phases

    @property
    def run_id(self) -> str:
        return self._ctx.run_id

    @property
    def seeds(self) -> tuple[int, ...]:
        return self._ctx.seeds

    @property
    def execution(self) -> Execution:
        return self._ctx.execution

    @property
    def data_dir(self) -> Path:
        return self._ctx.data_dir

    @property
    def allow_download(self) -> bool:
        return self._ctx.allow_download

    def registered_dataset(self, name: str) -> Path | None:
        return self._ctx.registered_dataset(name)

    def read_checkpoint(self, reference: str) -> bytes:
        return self._ctx.read_checkpoint(reference)

    def log_metrics(self, seed: int, step: int, values: Mapping[str, float | None]) -> None:
        self._phases.log(seed, step, values)

    def report_progress(self, completed: float, total: float, unit: str) -> None:
        self._phases.report(completed / total)

    def log_event(self, name: str, data: Mapping[str, Any]) -> None:
        self._ctx.log_event(name, {**data, "training": self._phases.present})

    def check(self) -> None:
        self._ctx.check()

    def should_save(self) -> bool:
        return self._ctx.should_save()

    def save_resume(self, resume: ResumeState) -> None:
        self._phases.save(resume)

    def load_resume(self) -> ResumeState | None:
        return self._phases.load()

    def save_checkpoint(self, name: str, seed: int, epoch: int, data: bytes) -> None:
        if name in ("theta_0", "theta_T"):
            self._phases.keep_theta(name, seed, data)

    def load_checkpoint(self, name: str, seed: int) -> bytes:
        return self._ctx.load_checkpoint(name, seed)

    def save_artifact(self, name: str, seed: int | None, media_type: str, data: bytes) -> None:
        self._ctx.save_artifact(name, seed, media_type, data)

    def find_training(
        self, digest: str, seed: int, names: Sequence[str] = ()
    ) -> FinishedTraining | None:
        return self._phases.find_seed(seed)

    def register_training(self, digest: str, seed: int, result: Mapping[str, Any]) -> None:
        self._phases.finish_seed(seed, result)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
