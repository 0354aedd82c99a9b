"""Runs the kind `activity_map` on a small piece of the embedded digits, interrupted on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from engine.context import ResumeState
from engine.errors import RunInterrupted
from engine.experiments.activity_map.maps import COUNTS_FILE
from engine.experiments.activity_map.result import ActivityMapSeedResult
from engine.experiments.activity_map.run import run
from engine.experiments.activity_map.spec import ActivityMapSpec
from engine.local import LocalRunContext
from engine.spec import Execution

SpecMaker = Callable[..., ActivityMapSpec]
Counts = dict[str, np.ndarray[Any, Any]]


class InterruptedContext(LocalRunContext):
    """Saves, and interrupts the run, before every `every`th step; never where that is None."""

    every: int | None = None
    steps = 0

    def should_save(self) -> bool:
        self.steps += 1
        return self.every is not None and self.steps % self.every == 0

    def save_resume(self, resume: ResumeState) -> None:
        super().save_resume(resume)
        if self.every is not None:
            raise RunInterrupted


class Runner:
    """Runs specs, each in its own folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = 0

    def context(self, seeds: Sequence[int] = (0,), *, stack: bool = True) -> InterruptedContext:
        self._runs += 1
        return InterruptedContext(
            self._folder / f"run{self._runs}",
            seeds,
            Execution(device="cpu", stack_seeds=stack),
            data_dir=self._folder,
            allow_download=False,
            save_every_seconds=1e9,
        )

    def run(
        self, spec: ActivityMapSpec, seeds: Sequence[int] = (0,), *, stack: bool = True
    ) -> tuple[list[ActivityMapSeedResult], InterruptedContext]:
        ctx = self.context(seeds, stack=stack)
        return self.seed_results(spec, ctx), ctx

    @staticmethod
    def seed_results(spec: ActivityMapSpec, ctx: InterruptedContext) -> list[ActivityMapSeedResult]:
        return [ActivityMapSeedResult.model_validate(seed_result) for seed_result in run(spec, ctx)]

    @staticmethod
    def counts(ctx: InterruptedContext, seed: int = 0) -> Counts:
        data = ctx.read_artifact(seed, COUNTS_FILE)
        assert data is not None
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
