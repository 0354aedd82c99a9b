"""The procedure of sparse training: all parameters, then one training for each mask and share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from engine.context import RunContext
from engine.data.resident import resident_data
from engine.determinism import deterministic
from engine.experiments.sparse_train.masks import Masks
from engine.experiments.sparse_train.result import SeedMask, SparseTrainSeedResult
from engine.experiments.sparse_train.spec import Mask, SparseTrainSpec
from engine.models.layer_layout import LayerLayout
from engine.models.layout import layout
from engine.result import SeedResult
from engine.spec import canonical_json
from engine.training.masked import MaskedStart
from engine.training.outcome import TrainedSeed
from engine.training.phases import MaskedTraining, Phases

Trainings = Mapping[tuple[Mask, int], MaskedTraining]
"""Of one seed, by mask and number of parameters that may move"""


def run(spec: SparseTrainSpec, ctx: RunContext) -> Sequence[SeedResult]:
    """Train every seed of the context with all parameters, then by every mask and share.

    Stores each seed's `masks.json`: how many parameters of each layer may move, and what each
    masked training logged by epoch. A killed run resumes in the training that it was in.
    """
    device = torch.device(ctx.execution.device)
    allow_tf32 = spec.precision(ctx.execution) == "tf32"
    with deterministic(ctx.execution.deterministic, ctx.execution.threads, allow_tf32=allow_tf32):
        data = resident_data(spec.data, device, ctx)
        layers = layout(spec.model, data.info)
        pairs = spec.list_trainings(layers)
        phases = Phases(spec, ctx, len(pairs))
        plain = phases.train_plain()
        masks = {trained.seed: Masks(spec, data, trained) for trained in plain}
        found = {
            (mask, count): phases.train_masked(
                _name(mask, count), partial(_start, masks, mask, count)
            )
            for mask, count in pairs
        }
        results = []
        for trained in plain:
            of_seed = {pair: by_seed[trained.seed] for pair, by_seed in found.items()}
            stored = _describe(masks[trained.seed], layers, pairs, phases.curves(trained.seed))
            content = canonical_json(stored).encode()
            ctx.save_artifact("masks.json", trained.seed, "application/json", content)
            results.append(_fill_result(spec, layers, trained, of_seed))
        return results


def _start(masks: Mapping[int, Masks], mask: Mask, count: int, seed: int) -> MaskedStart:
    return masks[seed].start(mask, count)


def _name(mask: Mask, count: int) -> str:
    return f"{mask} {count}"


def _describe(
    masks: Masks,
    layers: Sequence[LayerLayout],
    pairs: Sequence[tuple[Mask, int]],
    curves: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of `masks.json`."""
    return {
        "layers": [{"name": one.name, "num_parameters": one.num_parameters} for one in layers],
        "trainings": [
            {
                "mask": mask,
                "count": count,
                "layer_counts": masks.count_in_layers(mask, count),
                "by_epoch": curves[_name(mask, count)],
            }
            for mask, count in pairs
        ],
    }


def _fill_result(
    spec: SparseTrainSpec,
    layers: Sequence[LayerLayout],
    trained: TrainedSeed,
    found: Trainings,
) -> SparseTrainSeedResult:
    size = sum(layer.num_parameters for layer in layers)
    ends = {0: trained.initial_test_accuracy, size: trained.test_accuracy}
    curves = tuple(
        SeedMask(
            mask=mask,
            shares_percent=(
                tuple(100 * count / size for count in counts)
                if mask == "by_layer"
                else spec.shares_percent
            ),
            counts=counts,
            test_accuracy=tuple(
                ends[count] if count in ends else found[mask, count].test_accuracy
                for count in counts
            ),
        )
        for mask, counts in spec.list_counts(layers).items()
    )
    fields = trained.result_fields()
    fields["notes"] = tuple(dict.fromkeys((*fields["notes"], *_list_notes(found))))
    return SparseTrainSeedResult(
        **fields,
        num_parameters=size,
        curves=curves,
        masked_seconds=sum(one.train_seconds for one in found.values()),
        stacked_seeds=max((one.stacked_seeds for one in found.values()), default=1),
    )


def _list_notes(found: Trainings) -> list[str]:
    notes = [note for one in found.values() for note in one.notes]
    lost = [
        f"{mask} {count:,}" for (mask, count), one in found.items() if one.outcome == "not_finite"
    ]
    if lost:
        notes.append(f"the loss of these masked trainings was not finite: {', '.join(lost)}")
    return notes
