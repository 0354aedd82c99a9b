"""Build a net with initial weights and no checkpoints."""

from __future__ import annotations

from pathlib import Path

from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from engine.models.build import build_model, initialise
from engine.models.net import LayeredNet
from engine.models.spec import (
    InitSpec,
    ModelSpec,
    XavierSpec,
)

DIGITS = BUILTIN_DATASETS["digits"]
CIFAR10 = BUILTIN_DATASETS["cifar10"]


def reject_checkpoint(reference: str) -> bytes:
    raise AssertionError(reference)


def build(
    model: ModelSpec, info: DatasetInfo = DIGITS, init: InitSpec | None = None, seed: int = 0
) -> LayeredNet:
    net = build_model(model, info)
    initialise(
        net,
        init or XavierSpec(),
        seed,
        read_checkpoint=reject_checkpoint,
        weights_dir=Path("nowhere"),
        allow_download=False,
    )
    return net
