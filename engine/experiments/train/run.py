"""The procedure of a plain training."""

from __future__ import annotations

from collections.abc import Sequence

from engine.context import RunContext
from engine.experiments.train.result import TrainSeedResult
from engine.experiments.train.spec import TrainSpec
from engine.result import SeedResult
from engine.training.loop import train


def run(spec: TrainSpec, ctx: RunContext) -> Sequence[SeedResult]:
    """Train every seed of the context; one result per seed."""
    return [TrainSeedResult(**trained.result_fields()) for trained in train(spec, ctx)]
