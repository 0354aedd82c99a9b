"""The procedure of the activity map: one training that counts the active parameters by alpha."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from engine.analysis.activity import ActivityCounter, SeedActivity
from engine.analysis.fractions import percent_key
from engine.context import RunContext
from engine.data.resident import resident_data
from engine.experiments.activity_map.maps import (
    COUNTS_FILE,
    MAPS_FILE,
    MEDIA_TYPE,
    pack_counts,
    pack_maps,
)
from engine.experiments.activity_map.result import ActivityMapSeedResult, LayerActivity
from engine.experiments.activity_map.spec import ActivityMapSpec
from engine.models.layout import LayerLayout, layout
from engine.result import SeedResult
from engine.training.loop import train
from engine.training.outcome import TrainedSeed

Counts = Mapping[str, Mapping[str, NDArray[Any]]]
"""By alpha and parameter tensor."""


def run(spec: ActivityMapSpec, ctx: RunContext) -> Sequence[SeedResult]:
    """Train every seed of the context and count its active parameters; one result per seed.

    Stores each seed's `counts.npz` (the whole map) and `maps.npz` (the map in bins for drawing).
    """
    counter = ActivityCounter(spec.alphas_percent, spec.epochs)
    trained = train(spec, ctx, on_epoch_end=counter)
    layers = layout(
        spec.model, resident_data(spec.data, torch.device(ctx.execution.device), ctx).info
    )
    return [_finish_seed(spec, ctx, seed, counter.of(seed.seed), layers) for seed in trained]


def _finish_seed(
    spec: ActivityMapSpec,
    ctx: RunContext,
    trained: TrainedSeed,
    activity: SeedActivity,
    layers: Sequence[LayerLayout],
) -> ActivityMapSeedResult:
    keys = [percent_key(alpha) for alpha in spec.alphas_percent]
    counts = {
        key: _split_by_parameter(counter.cpu().numpy(), layers)
        for key, counter in zip(keys, activity.counts, strict=True)
    }
    for name, pack in ((COUNTS_FILE, pack_counts), (MAPS_FILE, pack_maps)):
        ctx.save_artifact(name, trained.seed, MEDIA_TYPE, pack(counts, activity.num_epochs))
    return ActivityMapSeedResult(
        **trained.result_fields(),
        alphas_percent=spec.alphas_percent,
        num_epochs=activity.num_epochs,
        layers=tuple(_describe_layer(layer, counts) for layer in layers),
        tied=dict(zip(keys, activity.num_tied, strict=True)),
        zeros=activity.num_zeros,
    )


def _split_by_parameter(
    counts: NDArray[Any], layers: Sequence[LayerLayout]
) -> dict[str, NDArray[Any]]:
    """The vector [p] as the net's parameter tensors."""
    found = {}
    start = 0
    for parameter in (parameter for layer in layers for parameter in layer.parameters):
        found[parameter.name] = counts[start : start + parameter.size].reshape(parameter.shape)
        start += parameter.size
    assert start == len(counts)
    return found


def _describe_layer(layer: LayerLayout, counts: Counts) -> LayerActivity:
    weights = [parameter.shape for parameter in layer.parameters if len(parameter.shape) > 1]
    return LayerActivity(
        name=layer.name,
        shape=weights[0] if len(weights) == 1 else None,
        parameters=layer.num_parameters,
        active={
            key: sum(
                int(by_name[parameter.name].sum(dtype="int64")) for parameter in layer.parameters
            )
            for key, by_name in counts.items()
        },
    )
