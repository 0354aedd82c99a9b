"""Runs the kind `lws` on a small piece of the embedded digits, interrupted where a test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.context import ResumeState
from engine.errors import RunInterrupted
from engine.experiments.lws.result import LwsSeedResult
from engine.experiments.lws.run import run
from engine.experiments.lws.spec import LwsSpec
from engine.local import LocalRunContext
from engine.models.weights import load_tensors
from engine.spec import Execution

SpecMaker = Callable[..., LwsSpec]


class InterruptedContext(LocalRunContext):
    """Saves and stops before its `stop_before`th step."""

    stop_before: int | None = None
    steps = 0

    def check(self) -> None:
        self.steps += 1

    def should_save(self) -> bool:
        return self.stop_before is not None and self.steps == self.stop_before

    def save_resume(self, resume: ResumeState) -> None:
        super().save_resume(resume)
        raise RunInterrupted("the test interrupts")


class Runner:
    """Runs specs, each in its own folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = 0

    def context(self, *, seeds: Sequence[int] = (0,), **execution: Any) -> InterruptedContext:
        self._runs += 1
        return InterruptedContext(
            self._folder / f"run{self._runs}",
            seeds,
            Execution(device="cpu", **execution),
            data_dir=self._folder,
            allow_download=False,
        )

    def run(
        self, spec: LwsSpec, *, stop_before: int | None = None, **settings: Any
    ) -> tuple[list[LwsSeedResult], InterruptedContext]:
        """Run to the end; with `stop_before` interrupted once and resumed."""
        ctx = self.context(**settings)
        ctx.stop_before = stop_before
        if stop_before is not None:
            with pytest.raises(RunInterrupted):
                run(spec, ctx)
            ctx.stop_before = None
        return [LwsSeedResult.model_validate(seed_result) for seed_result in run(spec, ctx)], ctx

    @staticmethod
    def theta(ctx: InterruptedContext, name: str = "theta_T", seed: int = 0) -> dict[str, Any]:
        return load_tensors((ctx._folder / f"{name}-seed{seed}.safetensors").read_bytes())
