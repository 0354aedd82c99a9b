"""Results of an activity map made up from counts."""

from __future__ import annotations

from typing import Any

from engine.experiments.activity_map.result import (
    ActivityMapSeedResult,
    LayerActivity,
)
from engine.experiments.registry import parse_spec
from engine.kind import FinishedPoint
from engine.result import Timings


def make_result(
    seed: int, active: dict[str, list[int]], sizes: list[int], **fields: Any
) -> ActivityMapSeedResult:
    return ActivityMapSeedResult(
        **{
            "seed": seed,
            "outcome": "trained",
            "test_accuracy": 0.9,
            "initial_test_accuracy": 0.1,
            "train_loss": 0.1,
            "timings": Timings(),
            "alphas_percent": tuple(float(alpha) for alpha in active),
            "num_epochs": 4,
            "layers": tuple(
                LayerActivity(
                    name=f"layers.{index}",
                    shape=(size, 1),
                    parameters=size,
                    active={alpha: counts[index] for alpha, counts in active.items()},
                )
                for index, size in enumerate(sizes)
            ),
            "tied": dict.fromkeys(active, 0),
            "zeros": 0,
            **fields,
        }
    )


def make_point(
    width: int, shares: list[list[int]], *, index: int = 0, model: str = "relu_net", **fields: Any
) -> FinishedPoint:
    """Three layers of 100, 800 and 100 parameters; a list of active counts for each seed."""
    spec = parse_spec(
        {"kind": "activity_map", "model": {"name": model, "width": width, "depth": 2}}
    )
    results = [
        make_result(seed, {"1": one}, [100, 800, 100], **fields) for seed, one in enumerate(shares)
    ]
    return FinishedPoint(index, {"model.width": width}, spec, results)
