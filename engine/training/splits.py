"""Weights and optimiser of a training at chosen steps, from which others continue it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from engine.training.learner import Learner

State = Mapping[str, Tensor]
Group = tuple[int, ...]
"""Seeds that train together"""


class Splits:
    """A `StepHook` that keeps the whole state of every learner after chosen steps.

    steps: counted from 1 over the whole training.
    """

    def __init__(self, steps: Sequence[int]) -> None:
        self._steps = frozenset(steps)
        self._states: dict[tuple[Group, int], dict[str, Tensor]] = {}

    def __call__(self, learner: Learner, step: int) -> None:
        if step in self._steps:
            self._states[learner.seeds, step] = learner.capture()

    @property
    def groups(self) -> list[Group]:
        """The groups with a state, in the order in which they trained."""
        return list(dict.fromkeys(group for group, _ in self._states))

    def find(self, group: Group, step: int) -> State | None:
        """The state after a step; None where the training ended before it."""
        return self._states.get((group, step))

    def capture(self) -> dict[str, Tensor]:
        return {
            f"{'_'.join(map(str, group))}.{step}.{name}": tensor
            for (group, step), state in self._states.items()
            for name, tensor in state.items()
        }

    def restore(self, tensors: State) -> None:
        self._states.clear()
        for key, tensor in tensors.items():
            seeds, step, name = key.split(".", 2)
            group = tuple(map(int, seeds.split("_")))
            self._states.setdefault((group, int(step)), {})[name] = tensor


def continue_training(
    learner: Learner, first_step: int, total: int, before_step: Callable[[int], None]
) -> None:
    """Train from a step to the end, as the training loop does.

    learner: restored to its state after `first_step` of `total` steps. before_step: called before
    each step with the number of steps done.
    """
    for done in range(first_step, total):
        epoch, step = divmod(done, learner.num_steps)
        if done == first_step or step == 0:
            learner.begin_epoch(epoch + 1, None)
        before_step(done)
        learner.train_step(step)
