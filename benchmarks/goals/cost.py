"""Estimates of a preview compared with actual durations, for known and for new shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.figures import Figure, at_most, spread
from benchmarks.options import Options
from benchmarks.service_process import JsonClient, Service, wait_for_end

SHAPES: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("relu_net w=100 d=1", {"name": "relu_net", "width": 100}, 20),
    ("relu_net w=1,000 d=1", {"name": "relu_net", "width": 1_000}, 6),
    ("relu_net w=100 d=4", {"name": "relu_net", "width": 100, "depth": 4}, 12),
    ("conv_net w=8 d=2", {"name": "conv_net", "width": 8, "depth": 2}, 4),
    ("vgg5, a tenth as wide", {"name": "vgg5", "width_multiplier": 0.1}, 4),
)


def measure(options: Options) -> Iterator[Figure]:
    with Service(options.work_dir / "home_of_estimates") as service:
        client = service.connect()
        for shape, model, epochs in SHAPES[: options.size(len(SHAPES), 1)]:
            epochs = options.size(epochs, 1)
            small = {
                "kind": "train",
                "model": model,
                "epochs": epochs,
                "data": {"name": "digits", "train_size": 2_000},
            }
            new = _error(client, small, [0])
            seen = [
                _error(client, {**small, "epochs": 3 * epochs}, [1]),
                _error(client, {**small, "data": {"name": "digits"}}, [2]),
                _error(client, small, [3, 4, 5]),
            ]
            yield Figure(
                f"estimate for {shape}: other epochs, data sizes and seeds",
                "actual duration (too high or too low)",
                "x",
                spread(seen),
                at_most(2),
                note=f"before any run of this shape: {new:.1f} x off",
            )


def _error(client: JsonClient, spec: dict[str, Any], seeds: list[int]) -> float:
    """The factor by which the estimate was too high or too low."""
    body = {"spec": spec, "seeds": seeds, "reuse": False}
    expected = client.post("/experiments/preview", body)["seconds"]
    experiment = client.post("/experiments", body)["id"]
    wait_for_end(client, [experiment])
    actual = sum(
        run["elapsed_seconds"] for run in client.get(f"/experiments/{experiment}/runs")["items"]
    )
    return float(max(expected / actual, actual / expected))
