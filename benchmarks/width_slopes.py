"""Nets of one hidden layer and several widths, and the slope of a probe over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log
from statistics import linear_regression
from typing import Any

from benchmarks.options import Options


def list_widths(options: Options) -> Sequence[int]:
    """The widths; two tiny ones in a smoke test."""
    return (8, 16) if options.smoke else (64, 256, 1_024, 4_096)


def list_specs(
    options: Options, digits: Mapping[str, Any], activation: str
) -> list[Mapping[str, Any]]:
    """Full-batch gradient descent on 128 images, in the NTK parametrisation, at each width."""
    steps = options.size(100, 2)
    return [
        {
            "kind": "train",
            "data": {**digits, "train_size": 128, "test_size": options.size(1_000, 100)},
            "model": {"name": "mlp", "widths": [width], "activation": activation},
            "init": {"name": "lecun"},
            "parametrization": {"name": "ntk"},
            "loss": {"name": "mse"},
            "optimizer": {"name": "sgd", "lr": 1.0, "momentum": 0.0},
            "batch_size": 128,
            "epochs": steps,
            "evaluate": {"every": steps},
            "probes": {
                "epochs": {"every": steps},
                "quantities": ["movement", "linearised"],
                "examples": 128,
            },
        }
        for width in list_widths(options)
    ]


def slope_over(options: Options, quantity: str) -> Callable[..., float]:
    """Of the logarithm of a probe against that of the width, by least squares."""
    widths = [log(width) for width in list_widths(options)]

    def slope(*results: Any) -> float:
        return linear_regression(widths, [log(one.probes[quantity]) for one in results]).slope

    return slope
