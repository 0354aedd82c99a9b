"""The procedure of layer-wise sparse SGD: draw each seed's whole schedule, then train by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from engine.context import RunContext
from engine.data.spec import DatasetInfo
from engine.experiments.lws.result import LwsSeedResult
from engine.experiments.lws.spec import LwsSpec
from engine.models.layout import layout
from engine.result import SeedResult
from engine.spec import canonical_json
from engine.training.layer_schedule import LayerSchedule, draw_schedule
from engine.training.loop import train
from engine.training.outcome import TrainedSeed


def run(spec: LwsSpec, ctx: RunContext) -> Sequence[SeedResult]:
    """Train every seed of the context under the policy; one result per seed.

    Stores each seed's `schedule.json`: the layers trained in each epoch, or in periods of steps.
    """
    schedules: dict[int, LayerSchedule] = {}

    def draw(seed: int, info: DatasetInfo) -> LayerSchedule:
        layers, steps = layout(spec.model, info), spec.steps_per_epoch(info)
        drawn = draw_schedule(spec.policy, len(layers), spec.epochs, seed, steps, layers)
        schedule = replace(drawn, frozen_in_eval=spec.frozen_layers == "eval")
        stored = canonical_json(schedule.to_json()).encode()
        ctx.save_artifact("schedule.json", seed, "application/json", stored)
        counts = schedule.count_epochs_by_lowest_layer()
        ctx.log_event("schedule.drawn", {"seed": seed, "epochs_by_lowest_layer": list(counts)})
        schedules[seed] = schedule
        return schedule

    found = train(spec, ctx, draw_schedule=draw)
    return [_fill_result(trained, schedules[trained.seed]) for trained in found]


def _fill_result(trained: TrainedSeed, schedule: LayerSchedule) -> LwsSeedResult:
    return LwsSeedResult(
        **trained.result_fields(),
        epochs_by_lowest_layer=schedule.count_epochs_by_lowest_layer(),
        cumulative_backward_seconds=tuple(
            accumulate(epoch.backward_seconds for epoch in trained.epoch_timings)
        ),
        cumulative_train_seconds=tuple(
            accumulate(epoch.train_seconds for epoch in trained.epoch_timings)
        ),
    )
