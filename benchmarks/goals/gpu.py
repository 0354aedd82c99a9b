"""Recorded steps on a GPU against calls: the time of five stacked seeds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.engine_runs import choose_gpu, train_seeds
from benchmarks.figures import Figure, at_most, in_seconds
from benchmarks.interleave import interleave, speed_up, timed
from benchmarks.options import Options


def measure(options: Options) -> Iterator[Figure]:
    device = choose_gpu(options)
    if device is None:
        return
    epochs = options.size(100, 1)
    model = {"name": "relu_net", "width": 100}
    spec = {"data": options.digits(), "model": model, "epochs": epochs}
    trained = partial(train_seeds, options, spec, range(5), device=device)
    found = interleave(
        {
            "graphs": timed(partial(trained, cuda_graphs=True)),
            "calls": timed(partial(trained, cuda_graphs=False)),
        },
        options.rounds(5),
    )
    name = f"5 seeds, w=100 d=1, {epochs} epochs, tested after each"
    yield in_seconds(name, found["graphs"], at_most(1), options.data_description)
    yield speed_up(
        name,
        found["graphs"],
        found["calls"],
        baseline="the same with `cuda_graphs` off",
    )
