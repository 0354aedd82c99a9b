"""Runs of the kind `reinit_sweep` on a small piece of the embedded digits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.experiments.reinit_sweep.result import ReinitSeedResult
from engine.experiments.reinit_sweep.run import run
from engine.experiments.reinit_sweep.spec import ReinitSweepSpec
from engine.spec import Execution
from tests.engine_reinit.watched_context import ContextMaker, SpecMaker, Sweep, WatchedContext


@pytest.fixture
def make_context(tmp_path: Path) -> ContextMaker:
    """A run context in a named folder; the same name makes the next attempt of the same run."""

    def make(
        folder: str = "run", *, seeds: Sequence[int] = (0,), **execution: Any
    ) -> WatchedContext:
        return WatchedContext(
            tmp_path / folder,
            seeds,
            Execution(device="cpu", **execution),
            data_dir=tmp_path,
            allow_download=False,
        )

    return make


@pytest.fixture
def make_spec() -> SpecMaker:
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
def sweep(make_context: ContextMaker, make_spec: SpecMaker) -> Sweep:
    """Run a spec to its end; returns the results and the run context."""

    def run_spec(
        *, folder: str = "run", seeds: Sequence[int] = (0,), **parts: Any
    ) -> tuple[list[ReinitSeedResult], WatchedContext]:
        ctx = make_context(folder, seeds=seeds)
        seed_results = run(ReinitSweepSpec.model_validate(make_spec(**parts)), ctx)
        return [ReinitSeedResult.model_validate(seed_result) for seed_result in seed_results], ctx

    return run_spec
