"""The procedure of a re-initialisation sweep: train as the kind `train`, evaluate every mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import torch

from engine.analysis.fractions import count_of, distinct_counts
from engine.analysis.mixture import Mixtures
from engine.analysis.movement import magnitude_bits, read_thresholds
from engine.analysis.reinit import sweep_accuracies
from engine.context import RunContext
from engine.data.resident import ResidentData, resident_data
from engine.determinism import deterministic
from engine.experiments.reinit_sweep.result import ReinitSeedResult, SeedCurve
from engine.experiments.reinit_sweep.spec import ReinitSweepSpec
from engine.models.build import build_model
from engine.result import SeedResult
from engine.spec import canonical_json
from engine.timing import Stopwatch
from engine.training.loop import train
from engine.training.outcome import TrainedSeed

NOT_FINITE = (
    "theta_T holds NaN or infinity: such parameters rank as having moved most, "
    "and a net that holds any of them is evaluated as it is."
)


def run(spec: ReinitSweepSpec, ctx: RunContext) -> Sequence[SeedResult]:
    """Train every seed of the context, or load its training, and sweep it; one result per seed.

    Stores each seed's `movement.json`. A run killed during a sweep repeats all its sweeps; it loads
    the trainings that it had registered.
    """
    device = torch.device(ctx.execution.device)
    allow_tf32 = ctx.execution.precision == "tf32"
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
    return spec.work().test_evaluations * num_test / (3 * len(data.y_train) + num_test)


def _sweep_seed(
    spec: ReinitSweepSpec,
    ctx: RunContext,
    data: ResidentData,
    trained: TrainedSeed,
    report: Callable[[float], None],
) -> ReinitSeedResult:
    device = data.x_test.device
    watch = Stopwatch(device)
    with watch.part("sweep"):
        net = build_model(spec.model, data.info).to(device)
        size = sum(parameter.numel() for parameter in net.parameters())
        counts = distinct_counts(spec.fractions_percent, size)
        mixtures = Mixtures(net, trained.theta_0, trained.theta_T, counts)
        accuracies = sweep_accuracies(
            mixtures,
            spec.model,
            data,
            spec.modes,
            autocasts=ctx.execution.precision == "bf16",
            on_progress=report,
        )
    movement = canonical_json(_describe_movement(mixtures)).encode()
    ctx.save_artifact("movement.json", trained.seed, "application/json", movement)
    of_fraction = [count_of(percent, size) for percent in spec.fractions_percent]
    places = [counts.index(count) for count in of_fraction]
    fields = trained.result_fields()
    if not bool(torch.isfinite(mixtures.flat_T).all()):
        fields["notes"] = (*fields["notes"], NOT_FINITE)
    return ReinitSeedResult(
        **fields,
        num_parameters=size,
        curves=tuple(
            SeedCurve(
                mode=mode,
                fractions_percent=spec.fractions_percent,
                counts=tuple(of_fraction),
                test_accuracy=tuple(accuracies[mode][place] for place in places),
            )
            for mode in spec.modes
        ),
        sweep_seconds=watch.seconds()["sweep"],
    )


def _describe_movement(mixtures: Mixtures) -> dict[str, Any]:
    """The content of `movement.json`.

    By count k: |theta_T - theta_0| of the k-th parameter in the order of movement (null for k = 0
    and for NaN), how many of the k were chosen by index among equals, and how many of the k are in
    each layer.
    """
    ranking = mixtures.ranking
    thresholds = read_thresholds(magnitude_bits(mixtures.flat_T - mixtures.flat_R), ranking)
    layers = []
    start = 0
    for number, layer in enumerate(mixtures.net.layers):
        stop = start + sum(parameter.numel() for parameter in layer.parameters())
        by_group = torch.bincount(ranking.groups[start:stop], minlength=len(ranking.counts) + 1)
        first = by_group.cumsum(0)[: len(ranking.counts)]
        layers.append(
            {"name": f"layers.{number}", "num_parameters": stop - start, "counts": first.tolist()}
        )
        start = stop
    return {
        "num_parameters": mixtures.num_parameters,
        "counts": list(ranking.counts),
        "thresholds": [
            value if value is not None and isfinite(value) else None for value in thresholds
        ],
        "num_tied": list(ranking.num_tied),
        "layers": layers,
    }
