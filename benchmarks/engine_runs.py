"""Runs of the engine in scratch folders, as the benchmarks use them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.options import Options
from engine.experiments.registry import get_kind, parse_spec
from engine.local import LocalRunContext
from engine.spec import Execution, ExperimentSpec
from engine.training.loop import train
from engine.training.outcome import TrainedSeed

SAVE_SECONDS = 30.0
"""Between the saves of a run that is kept"""

_numbers = count()


class Context(LocalRunContext):
    """A run context in a scratch folder, with data sets that the benchmark made."""

    def __init__(
        self,
        options: Options,
        seeds: Sequence[int],
        registered: dict[str, Path],
        execution: Execution,
        keep: Path | None = None,
        deadline: float | None = None,
    ) -> None:
        """keep: a folder in whose place the scratch folder is, and which a later context resumes.

        deadline: as in `LocalRunContext`.
        """
        super().__init__(
            keep or options.work_dir / f"run{next(_numbers)}",
            seeds,
            execution,
            data_dir=options.data_dir or options.work_dir,
            allow_download=False,
            save_every_seconds=1e9 if keep is None else SAVE_SECONDS,
            deadline=deadline,
        )
        self._registered, self._is_kept = registered, keep is not None

    def registered_dataset(self, name: str) -> Path | None:
        return self._registered.get(name)

    def discard(self) -> None:
        """Delete the scratch folder; what is to be kept stays."""
        if not self._is_kept:
            shutil.rmtree(self._folder)


def make_context(
    options: Options,
    seeds: Sequence[int],
    *,
    registered: dict[str, Path] | None = None,
    keep: Path | None = None,
    deadline: float | None = None,
    **execution: Any,
) -> Context:
    """A context with these execution options; default: the CPU with all of torch's threads."""
    options_of_run = Execution(**{"device": "cpu", "threads": torch.get_num_threads(), **execution})
    return Context(options, seeds, registered or {}, options_of_run, keep, deadline)


def train_seeds(
    options: Options, spec: dict[str, Any], seeds: Sequence[int], **execution: Any
) -> list[TrainedSeed]:
    """A complete training: initialisation, evaluation after every epoch, saved weights."""
    ctx = make_context(options, seeds, **execution)
    trained = train(parse_spec({"kind": "train", **spec}), ctx)
    ctx.discard()
    return trained


def run_kind(spec: ExperimentSpec, ctx: Context) -> Sequence[Any]:
    """The results of a kind's procedure, one per seed."""
    return get_kind(spec.kind).load_run()(spec, ctx)


def choose_gpu(options: Options) -> Literal["cpu", "cuda"] | None:
    """The GPU; in a smoke test the CPU where there is none, else None: nothing is measured."""
    if torch.cuda.is_available():
        return "cuda"
    return "cpu" if options.smoke else None
