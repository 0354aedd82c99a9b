"""A run context that counts trainings and interrupts the run where a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.errors import RunInterrupted
from engine.experiments.reinit_sweep.result import ReinitSeedResult
from engine.local import LocalRunContext
from engine.models.weights import load_tensors


class WatchedContext(LocalRunContext):
    """Counts the trainings registered, and interrupts the run at its `stop_at`th check."""

    stop_at: int | None = None
    checks = 0
    registered = 0

    def check(self) -> None:
        self.checks += 1
        if self.checks == self.stop_at:
            raise RunInterrupted("the test interrupts")

    def register_training(self, *arguments: Any) -> None:
        self.registered += 1
        super().register_training(*arguments)

    def theta(self, name: str, seed: int) -> dict[str, Any]:
        return load_tensors((self._folder / f"{name}-seed{seed}.safetensors").read_bytes())


ContextMaker = Callable[..., WatchedContext]
SpecMaker = Callable[..., dict[str, Any]]
Sweep = Callable[..., tuple[list[ReinitSeedResult], WatchedContext]]
