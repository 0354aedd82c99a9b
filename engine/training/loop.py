"""The training loop: groups of seeds, epochs and steps; logging, saves and resume (Section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from engine.arithmetic import describe_arithmetic, list_differences
from engine.context import FinishedTraining, RunContext
from engine.data.bounds import num_batches
from engine.data.resident import ResidentData, resident_data
from engine.data.spec import DatasetInfo
from engine.determinism import deterministic
from engine.errors import InvalidSpec
from engine.models.spec import CheckpointSpec
from engine.models.start_weights import list_casts
from engine.models.weights import (
    describe_tensors,
    load_tensors,
    save_tensors,
    select_prefix,
)
from engine.probes.meter import Meter
from engine.spec import ExperimentSpec
from engine.training.layer_schedule import LayerSchedule
from engine.training.learner import EpochHook, Learner, StepHook
from engine.training.masked import MaskedStart
from engine.training.outcome import SeedHistory, TrainedSeed
from engine.training.plan import build_learner, plan_groups
from engine.training.saves import Saves

StartMasked = Callable[[int], MaskedStart]
DrawSchedule = Callable[[int, DatasetInfo], LayerSchedule]


def train(
    spec: ExperimentSpec,
    ctx: RunContext,
    *,
    draw_schedule: DrawSchedule | None = None,
    start_masked: StartMasked | None = None,
    on_epoch_end: EpochHook | None = None,
    on_step: StepHook | None = None,
    epochs_afterwards: float = 0.0,
    saves: Saves | None = None,
) -> list[TrainedSeed]:
    """Train every seed of `ctx.seeds` and return them in that order.

    draw_schedule: returns the layers that train in each epoch or step of a seed on a data set,
    called once for each seed before the first one trains; None trains all layers. The spec of a
    kind that passes it never stacks seeds. start_masked: returns the weights that a seed starts
    from and the entries that may move, called when it starts; the training's digest does not hold
    it, so that `engine.training.phases` alone passes it. The hooks' state is saved and resumed with
    the training; without hooks a finished training of any run is loaded instead. epochs_afterwards:
    the caller's later work on each seed, in epochs, for the progress report. saves: of the run,
    where that work has saves too. Raises RunCancelled,
    RunInterrupted, DatasetUnavailable, WeightsUnavailable, OutOfMemory, and InvalidSpec for steps
    beyond the training.
    """
    device = torch.device(ctx.execution.device)
    allow_tf32 = spec.precision(ctx.execution) == "tf32"
    with deterministic(ctx.execution.deterministic, ctx.execution.threads, allow_tf32=allow_tf32):
        data = resident_data(spec.data, device, ctx)
        if errors := spec.check_data(data.info):
            raise InvalidSpec(errors)
        hooks = [hook for hook in (on_epoch_end, on_step) if hook is not None]
        return _Training(
            spec,
            ctx,
            data,
            draw_schedule,
            start_masked,
            on_epoch_end,
            on_step,
            hooks,
            epochs_afterwards,
            saves or Saves(ctx),
        ).run()


class _Training:
    """One call of `train`: trains the missing seeds group by group."""

    def __init__(
        self,
        spec: ExperimentSpec,
        ctx: RunContext,
        data: ResidentData,
        draw_schedule: DrawSchedule | None,
        start_masked: StartMasked | None,
        on_epoch_end: EpochHook | None,
        on_step: StepHook | None,
        hooks: Sequence[EpochHook | StepHook],
        epochs_afterwards: float,
        saves: Saves,
    ) -> None:
        self._spec, self._ctx, self._data = spec, ctx, data
        self._schedules = (
            {seed: draw_schedule(seed, data.info) for seed in ctx.seeds} if draw_schedule else {}
        )
        self._start_masked = start_masked
        self._on_epoch_end, self._on_step = on_epoch_end, on_step
        self._hooks, self._epochs_afterwards = hooks, epochs_afterwards
        self._needed, self._evaluated = spec.kept_checkpoints(), spec.evaluated_epochs()
        self._probed = spec.probed_epochs()
        self._kept = self._needed.union(ctx.shared_checkpoints)
        self._done: dict[int, TrainedSeed] = {}
        self._finished: list[int] = []
        """Finished seeds of this run, part of the resume state; the hooks' state covers them."""
        self._saves = saves
        self._arithmetic = describe_arithmetic(ctx.execution.device)
        self._start_notes: list[str] = []
        """How the start weights were converted"""
        self._resumed_elsewhere: list[str] = []
        """Differences of the hosts that trained parts of the present group"""
        self._meter: Meter | None = None
        """Of the present group, with `probes`"""

    def run(self) -> list[TrainedSeed]:
        resume = self._saves.loaded
        tensors: Mapping[str, Tensor] = {}
        state: Mapping[str, Any] = {}
        if resume is not None:
            tensors, state = load_tensors(resume.tensors), resume.state
            self._finished = list(state["finished"])
            for number, hook in enumerate(self._hooks):
                hook.restore(select_prefix(f"hook{number}.", tensors))
        self._load_finished()
        missing = [seed for seed in self._ctx.seeds if seed not in self._done]
        if missing and isinstance(self._spec.init, CheckpointSpec):
            given = load_tensors(self._ctx.read_checkpoint(self._spec.init.checkpoint))
            self._start_notes = list_casts(describe_tensors(given))
        groups = self._plan_groups(missing)
        if set(state.get("seeds", ())) & set(missing) and state["seeds"] not in groups:
            # The interrupted group comes first, even if this device would group seeds otherwise.
            rest = [seed for seed in missing if seed not in state["seeds"]]
            groups = [list(state["seeds"]), *self._plan_groups(rest)]
        for group in groups:
            saved = state if state.get("seeds") == group else {}
            self._train_group(group, saved, tensors)
        return [self._done[seed] for seed in self._ctx.seeds]

    def _compare_arithmetic(self, state: Mapping[str, Any]) -> list[str]:
        """How this host's arithmetic differs from that of the interrupted training."""
        differences = list_differences(state.get("arithmetic", {}), self._arithmetic)
        if differences:
            self._ctx.log_event(
                "training.resumed_elsewhere",
                {"seeds": list(state["seeds"]), "differences": differences},
            )
        return [*state.get("resumed_elsewhere", ()), *differences]

    def _plan_groups(self, seeds: Sequence[int]) -> list[list[int]]:
        return plan_groups(self._spec, self._data.info, seeds, self._ctx.execution)

    def _load_finished(self) -> None:
        """Load finished trainings: this run's own and, without hooks, those of other runs."""
        for seed in self._ctx.seeds:
            found = self._ctx.find_training(self._digest(seed), seed, self._needed.names)
            if found is None:
                continue
            if found.run_id == self._ctx.run_id:
                if self._hooks and seed not in self._finished:
                    continue
            elif self._hooks:
                continue
            else:
                self._relog(seed, found)
            self._done[seed] = TrainedSeed.from_finished(
                seed,
                found,
                self._ctx.run_id,
                self._data.y_test,
                self._data.y_train,
                self._arithmetic,
            )
        lost = [seed for seed in self._finished if seed not in self._done]
        assert not lost, (
            f"the trainings of seeds {lost} are in the resume state but cannot be found"
        )

    def _relog(self, seed: int, found: FinishedTraining) -> None:
        for name, step, value in found.metrics:
            self._ctx.log_metrics(seed, step, {name: value})
        for name, tensors in (("theta_0", found.theta_0), ("theta_T", found.theta_T)):
            self._ctx.save_checkpoint(
                name, seed, 0 if name == "theta_0" else self._spec.epochs, tensors
            )
        for name, tensors in found.checkpoints.items():
            self._ctx.save_checkpoint(name, seed, self._epoch_of(name), tensors)
        self._ctx.log_event("training.reused", {"seed": seed, "run_id": found.run_id})

    def _train_group(
        self, seeds: list[int], state: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> None:
        schedule = self._schedules.get(seeds[0])
        masked = [self._start_masked(seed) for seed in seeds] if self._start_masked else None
        learner = build_learner(self._spec, self._data, seeds, self._ctx, schedule, masked)
        thetas = [learner.parameters(index) for index in range(len(seeds))]
        self._resumed_elsewhere = self._compare_arithmetic(state) if state else []
        if self._spec.probes is not None:
            self._meter = Meter(self._spec, self._data, thetas, self._ctx.check)
        if state:
            learner.restore(select_prefix("learner.", tensors))
            histories = [SeedHistory.from_json(entry) for entry in state["histories"]]
            self._ctx.log_event(
                "training.resumed", {"seeds": seeds, "epoch": state["epoch"], "step": state["step"]}
            )
        else:
            for seed, theta in zip(seeds, thetas, strict=True):
                self._ctx.save_checkpoint("theta_0", seed, 0, save_tensors(theta))
            histories = [SeedHistory() for _ in seeds]
        skipped = masked[0].step if masked else 0
        first_epoch = int(state.get("epoch", 1 + skipped // learner.num_steps))
        first_step = int(state.get("step", skipped % learner.num_steps))
        self._report(learner, first_epoch, first_step)
        if not state:
            self._log_evaluation(learner, histories, epoch=0)
            self._log_probes(learner, histories, epoch=0)
            self._collect_timings(learner, histories, epoch=0)
        for epoch in range(first_epoch, self._spec.epochs + 1):
            trained = schedule.at(epoch - 1, 0) if schedule else None
            self._train_epoch(
                learner, histories, epoch, trained, first_step if epoch == first_epoch else 0
            )
            if all(history.is_not_finite for history in histories):
                self._end_early(learner, histories, epoch)
                break
        self._finish_group(learner, seeds, thetas, histories)

    def _end_early(self, learner: Learner, histories: list[SeedHistory], epoch: int) -> None:
        """Evaluate and keep what later epochs would have: nets that are not finite stay so."""
        if epoch not in self._evaluated:
            self._log_evaluation(learner, histories, epoch)
        if epoch not in self._probed:
            self._log_probes(learner, histories, epoch)
        for later in self._kept.epochs:
            if later > epoch:
                self._keep(learner, f"epoch_{later}")
        for step in self._kept.steps:
            if step > epoch * learner.num_steps:
                self._keep(learner, f"step_{step}")

    def _train_epoch(
        self,
        learner: Learner,
        histories: list[SeedHistory],
        epoch: int,
        trained: frozenset[int] | None,
        first_step: int,
    ) -> None:
        learner.begin_epoch(epoch, trained)
        for step in range(first_step, learner.num_steps):
            self._ctx.check()
            if self._ctx.should_save():
                self._save(learner, histories, epoch, step)
            learner.train_step(step)
            self._report(learner, epoch, step + 1)
            done = (epoch - 1) * learner.num_steps + step + 1
            if done in self._kept.steps:
                self._keep(learner, f"step_{done}")
            if self._on_step is not None:
                self._on_step(learner, done)
        statistics = learner.end_epoch()
        if epoch in self._kept.epochs:
            self._keep(learner, f"epoch_{epoch}")
        if epoch in self._evaluated:
            self._log_evaluation(learner, histories, epoch)
        if epoch in self._probed:
            self._log_probes(learner, histories, epoch)
        for seed, history, one in zip(learner.seeds, histories, statistics, strict=True):
            history.train_loss = one.train_loss if isfinite(one.train_loss) else None
            self._ctx.log_metrics(
                seed,
                epoch,
                {"train_loss": history.train_loss, "train_accuracy": one.train_accuracy},
            )
            if history.train_loss is None and not history.is_not_finite:
                history.is_not_finite = True
                self._ctx.log_event("training.not_finite", {"seed": seed, "epoch": epoch})
        self._collect_timings(learner, histories, epoch)
        if self._on_epoch_end is not None:
            self._on_epoch_end(learner, epoch)

    def _keep(self, learner: Learner, name: str) -> None:
        for index, seed in enumerate(learner.seeds):
            theta = save_tensors(learner.parameters(index))
            self._ctx.save_checkpoint(name, seed, self._epoch_of(name), theta)

    def _epoch_of(self, name: str) -> int:
        """The last finished epoch at a kept checkpoint."""
        unit, _, number = name.partition("_")
        steps = num_batches(len(self._data.y_train), self._spec.batch_size)
        return int(number) if unit == "epoch" else int(number) // steps

    def _log_evaluation(self, learner: Learner, histories: list[SeedHistory], epoch: int) -> None:
        for seed, history, found in zip(learner.seeds, histories, learner.evaluate(), strict=True):
            if epoch == 0:
                history.initial_test_accuracy = found.test_accuracy
            history.test_accuracy = found.test_accuracy
            history.test_loss = found.test_loss if isfinite(found.test_loss) else None
            self._ctx.log_metrics(
                seed,
                epoch,
                {"test_accuracy": found.test_accuracy, "test_loss": history.test_loss},
            )

    def _log_probes(self, learner: Learner, histories: list[SeedHistory], epoch: int) -> None:
        """Measure every seed; a net that is not finite has no values."""
        if self._meter is None:
            return
        with learner.stopwatch.part("probe"):
            for index, (seed, history) in enumerate(zip(learner.seeds, histories, strict=True)):
                values = self._meter.measure(index, learner.parameters(index))
                history.probes = values or dict.fromkeys(history.probes)
                self._ctx.log_metrics(seed, epoch, history.probes)

    def _collect_timings(self, learner: Learner, histories: list[SeedHistory], epoch: int) -> None:
        """Record the epoch's times; each seed of a stacked group gets an equal share."""
        seconds = learner.stopwatch.seconds()
        for history in histories:
            history.record_timings(epoch, seconds, len(histories))
        learner.stopwatch.restore({})

    def _report(self, learner: Learner, epoch: int, steps: int) -> None:
        done = epoch - 1 + steps / learner.num_steps
        total = len(self._ctx.seeds) * (self._spec.epochs + self._epochs_afterwards)
        completed = len(self._done) * self._spec.epochs + done * len(learner.seeds)
        if total:
            self._ctx.report_progress(completed, total, "seed-epochs")

    def _save(self, learner: Learner, histories: list[SeedHistory], epoch: int, step: int) -> None:
        self._collect_timings(learner, histories, epoch)
        tensors = {f"learner.{name}": tensor for name, tensor in learner.capture().items()}
        state = {
            "seeds": list(learner.seeds),
            "epoch": epoch,
            "step": step,
            "histories": [history.to_json() for history in histories],
            "arithmetic": dict(self._arithmetic),
            "resumed_elsewhere": self._resumed_elsewhere,
        }
        self._write_resume(state, tensors)

    def _write_resume(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        for number, hook in enumerate(self._hooks):
            tensors |= {f"hook{number}.{name}": tensor for name, tensor in hook.capture().items()}
        state["finished"] = self._finished
        self._saves.write(state, tensors)

    def _finish_group(
        self,
        learner: Learner,
        seeds: list[int],
        thetas: list[dict[str, Tensor]],
        histories: list[SeedHistory],
    ) -> None:
        for index, (seed, theta_0, history) in enumerate(
            zip(seeds, thetas, histories, strict=True)
        ):
            theta_T = learner.parameters(index)
            self._ctx.save_checkpoint("theta_T", seed, self._spec.epochs, save_tensors(theta_T))
            trained = TrainedSeed.from_history(
                seed,
                history,
                theta_0,
                theta_T,
                (*self._start_notes, *learner.notes, *self._list_arithmetic_notes()),
                self._data.y_test,
                self._data.y_train,
                self._arithmetic,
            )
            if trained.outcome == "at_chance":
                self._ctx.log_event(
                    "training.at_chance", {"seed": seed, "epoch": self._spec.epochs}
                )
            self._ctx.register_training(self._digest(seed), seed, trained.to_json())
            self._done[seed] = trained
            self._finished.append(seed)
        if self._hooks and len(self._done) < len(self._ctx.seeds):
            self._write_resume({}, {})

    def _list_arithmetic_notes(self) -> tuple[str, ...]:
        if not self._resumed_elsewhere:
            return ()
        return (
            "the training was resumed where it may round differently, so its bits may differ from "
            f"those of an uninterrupted one ({'; '.join(self._resumed_elsewhere)})",
        )

    def _digest(self, seed: int) -> str:
        return self._spec.training_digest(seed, self._ctx.execution, self._data.sha256)
