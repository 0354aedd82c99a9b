"""The procedure: one training, its children from each split, errors on the lines between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from statistics import fmean

import torch

from engine.analysis.line import instability
from engine.context import RunContext
from engine.data.resident import resident_data
from engine.determinism import deterministic
from engine.experiments.connectivity.children import Children, SeedLine
from engine.experiments.connectivity.result import (
    ConnectivitySeedResult,
    SeedLayerInstability,
    SeedSplit,
)
from engine.experiments.connectivity.spec import ConnectivitySpec
from engine.result import SeedResult
from engine.spec import canonical_json
from engine.training.loop import train
from engine.training.outcome import TrainedSeed
from engine.training.saves import Saves
from engine.training.splits import Splits

LINES_FILE = "lines.json"
NOT_FINITE = "{count} splits of seed {seed} are left out: some child of theirs is not finite."


def run(spec: ConnectivitySpec, ctx: RunContext) -> Sequence[SeedResult]:
    """Train every seed of the context and its children, and evaluate the lines between them.

    One result per seed. Stores each seed's `lines.json`. A run killed anywhere continues at the
    step of the child, or the net of the line, that it had saved.
    """
    device = torch.device(ctx.execution.device)
    allow_tf32 = spec.precision(ctx.execution) == "tf32"
    with deterministic(ctx.execution.deterministic, ctx.execution.threads, allow_tf32=allow_tf32):
        data = resident_data(spec.data, device, ctx)
        splits, saves = Splits(spec.split_steps(data.info)), Saves(ctx)
        afterwards = spec.epochs * (spec.train_share(data.info) - 1)
        afterwards += spec.num_lines(data.info) * spec.epochs_of_line(data.info)
        trainings = train(spec, ctx, on_step=splits, epochs_afterwards=afterwards, saves=saves)
        children = Children(spec, ctx, data, splits, trainings, saves)
        lines = children.compute()
        return [_finish_seed(spec, ctx, one, lines[one.seed], children.notes) for one in trainings]


def _finish_seed(
    spec: ConnectivitySpec,
    ctx: RunContext,
    trained: TrainedSeed,
    lines: Sequence[SeedLine | None],
    notes: Sequence[str],
) -> ConnectivitySeedResult:
    """The result of a seed, with each line in its artifact."""
    stored = {"lines": [asdict(line) for line in lines if line is not None]}
    content = canonical_json(stored).encode()
    ctx.save_artifact(LINES_FILE, trained.seed, "application/json", content)
    per_split = spec.children - 1
    splits = []
    for start in range(0, len(lines), per_split):
        found = [line for line in lines[start : start + per_split] if line is not None]
        if len(found) == per_split:
            splits.append(average_lines(found))
    fields = trained.result_fields()
    missing = len(lines) // per_split - len(splits)
    left_out = (NOT_FINITE.format(count=missing, seed=trained.seed),) if missing else ()
    fields["notes"] = (*fields["notes"], *notes, *left_out)
    return ConnectivitySeedResult(**fields, splits=tuple(splits))


def average_lines(lines: Sequence[SeedLine]) -> SeedSplit:
    """The mean over the lines of one split: of their errors, and of their instabilities."""
    return SeedSplit(
        step=lines[0].step,
        test_error=_average(line.test_error for line in lines),
        train_error=_average(line.train_error for line in lines),
        instability=fmean(instability(line.test_error) for line in lines),
        train_instability=fmean(instability(line.train_error) for line in lines),
        layers=tuple(
            SeedLayerInstability(
                name=name,
                instability=fmean(
                    instability(line.layers[name], (line.test_error[0], line.test_error[-1]))
                    for line in lines
                ),
            )
            for name in lines[0].layers
        ),
    )


def _average(errors: Iterable[Sequence[float]]) -> tuple[float, ...]:
    return tuple(fmean(at_place) for at_place in zip(*errors, strict=True))
