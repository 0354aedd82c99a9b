"""The learning rate of a step. Imports no torch."""

from __future__ import annotations

from math import cos, pi

from engine.optim.spec import CosineSpec, OptimizerSpec, ScheduleSpec, StepSpec
from engine.span import count_steps


def learning_rate(
    optimizer: OptimizerSpec,
    schedule: ScheduleSpec,
    step: int,
    *,
    steps_per_epoch: int,
    total_steps: int,
) -> float:
    """The learning rate of `step`, counted from 0: a pure function of its arguments."""
    assert 0 <= step < total_steps
    warmup = 0 if schedule.warmup is None else count_steps(schedule.warmup, steps_per_epoch)
    rate = optimizer.lr
    match schedule:
        case StepSpec(every_epochs=every, factor=factor):
            rate = rate * factor ** (step // steps_per_epoch // every)
        case CosineSpec(final=final) if step >= warmup:
            done = (step - warmup) / (total_steps - warmup)
            rate = rate * (final + (1 - final) * (1 + cos(pi * done)) / 2)
    return rate * (step + 1) / warmup if step < warmup else rate
