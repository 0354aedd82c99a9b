"""Runs of the kind on a small piece of the embedded digits, and an outside that interrupts them where a test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RunInterrupted
from engine.experiments.reinit_sweep.result import ReinitSeedResult
from engine.experiments.reinit_sweep.run import run
from engine.experiments.reinit_sweep.spec import ReinitSweepSpec
from engine.local import LocalRunContext
from engine.models.weights import load_tensors
from engine.spec import Execution


class WatchedContext(LocalRunContext):
    """Counts the trainings that it is offered, and ends the run at its `stop_at`th check."""

    stop_at: int | None = None
    checks = 0
    registered = 0

    def check(self) -> None:
        self.checks += 1
        if self.checks == self.stop_at:
            raise RunInterrupted("the test asks")

    def register_training(self, *arguments: Any) -> None:
        self.registered += 1
        super().register_training(*arguments)

    def theta(self, name: str, seed: int) -> dict[str, Any]:
        return load_tensors((self._folder / f"{name}-seed{seed}.safetensors").read_bytes())


ContextMaker = Callable[..., WatchedContext]


@pytest.fixture
def make_context(tmp_path: Path) -> ContextMaker:
    """The outside of a run in a folder of the given name; the same name is the same run's next attempt."""

    def make(
        folder: str = "run", *, seeds: Sequence[int] = (0,), **execution: Any
    ) -> WatchedContext:
        return WatchedContext(
            tmp_path / folder,
            seeds,
            Execution(device="cpu", **execution),
            data_dir=tmp_path,
            num_threads=1,
            allow_download=False,
        )

    return make


@pytest.fixture
def make_spec() -> Callable[..., dict[str, Any]]:
    """A small spec; keyword arguments replace its parts."""

    def make(**parts: Any) -> dict[str, Any]:
        return {
            "kind": "reinit_sweep",
            "data": {"name": "digits", "train_size": 500, "test_size": 500},
            "model": {"name": "relu_net", "width": 20, "depth": 1},
            "epochs": 3,
            **parts,
        }

    return make


@pytest.fixture
def sweep(
    make_context: ContextMaker, make_spec: Callable[..., dict[str, Any]]
) -> Callable[..., Any]:
    """Run a spec to its end; gives the results and the run's outside."""

    def run_spec(
        *, folder: str = "run", seeds: Sequence[int] = (0,), **parts: Any
    ) -> tuple[list[ReinitSeedResult], WatchedContext]:
        ctx = make_context(folder, seeds=seeds)
        seed_results = run(ReinitSweepSpec.model_validate(make_spec(**parts)), ctx)
        return [ReinitSeedResult.model_validate(seed_result) for seed_result in seed_results], ctx

    return run_spec
