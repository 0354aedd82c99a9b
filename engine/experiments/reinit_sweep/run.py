"""The procedure of a re-initialisation sweep: train as the kind `train`, evaluate every mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from engine.context import RunContext
from engine.data.resident import ResidentData, resident_data
from engine.determinism import deterministic
from engine.experiments.reinit_sweep.result import ReinitSeedResult
from engine.experiments.reinit_sweep.spec import ReinitSweepSpec
from engine.experiments.reinit_sweep.sweep import Sweep
from engine.result import SeedResult
from engine.spec import canonical_json
from engine.timing import Stopwatch
from engine.training.loop import train
from engine.training.outcome import TrainedSeed


def run(spec: ReinitSweepSpec, ctx: RunContext) -> Sequence[SeedResult]:
    """Train every seed of the context, or load its training, and sweep it; one result per seed.

    Stores each seed's `movement.json`. A run killed during a sweep repeats all its sweeps; it loads
    the trainings that it had registered.
    """
    device = torch.device(ctx.execution.device)
    allow_tf32 = spec.precision(ctx.execution) == "tf32"
    with deterministic(ctx.execution.deterministic, ctx.execution.threads, allow_tf32=allow_tf32):
        data = resident_data(spec.data, device, ctx)
        epochs = _sweep_epochs(spec, data)
        trainings = train(spec, ctx, epochs_afterwards=epochs)
        num_seeds = len(trainings)
        seed_results = []
        for index, trained in enumerate(trainings):

            def report(share: float, done: int = index) -> None:
                ctx.check()
                completed = num_seeds * spec.epochs + epochs * (done + share)
                ctx.report_progress(completed, num_seeds * (spec.epochs + epochs), "seed-epochs")

            seed_results.append(_sweep_seed(spec, ctx, data, trained, report))
        return seed_results


def _sweep_epochs(spec: ReinitSweepSpec, data: ResidentData) -> float:
    """Cost of a seed's sweep in epochs of its training; forward takes a third of a step."""
    num_test = len(data.y_test)
    return spec.work(data.info).test_evaluations * num_test / (3 * len(data.y_train) + num_test)


def _sweep_seed(
    spec: ReinitSweepSpec,
    ctx: RunContext,
    data: ResidentData,
    trained: TrainedSeed,
    report: Callable[[float], None],
) -> ReinitSeedResult:
    watch = Stopwatch(data.x_test.device)
    with watch.part("sweep"):
        sweep = Sweep(spec, ctx, data, trained)
        curves, layers = sweep.evaluate(report)
    movement = canonical_json(sweep.describe_order()).encode()
    ctx.save_artifact("movement.json", trained.seed, "application/json", movement)
    fields = trained.result_fields()
    fields["notes"] = (*fields["notes"], *sweep.notes())
    return ReinitSeedResult(
        **fields,
        num_parameters=sweep.size,
        curves=curves,
        layers=layers,
        sweep_seconds=watch.seconds()["sweep"],
    )
