"""The learning rate of an epoch. Imports no torch."""

from __future__ import annotations

from engine.optim.spec import OptimizerSpec, ScheduleSpec, StepSpec


def learning_rate(optimizer: OptimizerSpec, schedule: ScheduleSpec, epoch: int) -> float:
    """The learning rate after `epoch` finished epochs; 0 is the first epoch."""
    assert epoch >= 0
    if isinstance(schedule, StepSpec):
        return optimizer.lr * schedule.factor ** (epoch // schedule.every_epochs)
    return optimizer.lr
