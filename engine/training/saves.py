"""The saves of a run: of its trainings, and of the work that follows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from engine.context import ResumeState, RunContext
from engine.models.weights import load_tensors, save_tensors, select_prefix
from engine.training.learner import EpochHook, StepHook

_PREFIX = "afterwards."


class Saves:
    """The resume state of a run, loaded once, and the numbers of its next saves."""

    def __init__(self, ctx: RunContext) -> None:
        self._ctx = ctx
        self.loaded = ctx.load_resume()
        """The save that the run continues from; None at its first attempt"""
        self._number = 0 if self.loaded is None else self.loaded.step

    def write(self, state: Mapping[str, Any], tensors: dict[str, Tensor]) -> None:
        """Store a save. state: JSON. Raises RunInterrupted if the run must yield.

        tensors: emptied as soon as their bytes are made, so that no number is held three times.
        """
        self._number += 1
        data = save_tensors(tensors)
        tensors.clear()
        self._ctx.save_resume(ResumeState(self._number, data, state))


class Afterwards:
    """Saves of the work that follows the trainings of a run, as `train` resumes them.

    `train` with the same hook then restores the hook and trains nothing. saves: those that the
    trainings had. `state` and `tensors` are what the loaded save holds of this work.
    """

    def __init__(self, ctx: RunContext, saves: Saves, hook: EpochHook | StepHook) -> None:
        self._ctx, self._saves, self._hook = ctx, saves, hook
        loaded = saves.loaded
        self.state: Mapping[str, Any] = {} if loaded is None else loaded.state.get("afterwards", {})
        stored = load_tensors(loaded.tensors) if loaded is not None and self.state else {}
        self.tensors: Mapping[str, Tensor] = select_prefix(_PREFIX, stored)

    def save(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Store how far the work is. state: JSON. Raises RunInterrupted if the run must yield."""
        hooks = {f"hook0.{name}": tensor for name, tensor in self._hook.capture().items()}
        own = {f"{_PREFIX}{name}": tensor for name, tensor in tensors.items()}
        finished = list(self._ctx.seeds)
        self._saves.write({"finished": finished, "afterwards": dict(state)}, {**hooks, **own})
