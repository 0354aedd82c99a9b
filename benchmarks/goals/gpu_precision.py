"""Steps on a GPU in tf32 and bf16, compared with fp32."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.engine_runs import choose_gpu, make_context
from benchmarks.figures import Figure
from benchmarks.images import write_colour_images
from benchmarks.interleave import interleave, speed_up
from benchmarks.options import Options
from engine.data.resident import resident_data
from engine.determinism import deterministic
from engine.experiments.registry import parse_spec
from engine.training.plan import build_learner

DATASET = "colour_batches"
LEFT_OUT = 3
"""Steps before the measured ones: the first is not recorded, the second records"""


def measure(options: Options) -> Iterator[Figure]:
    device = choose_gpu(options)
    if device is None:
        return
    count = 128 * options.size(200, 6)
    path = write_colour_images(options.work_dir / f"{DATASET}.npz", count, 100)
    nets: dict[str, dict[str, Any]] = {
        "VGG-11": {
            "data": {"name": DATASET},
            "model": {"name": "vgg11", "width_multiplier": options.size(100, 10) / 100},
        },
        "ReLU-Net w=10,000 d=2": {
            "data": options.digits(),
            "model": {"name": "relu_net", "width": options.size(10_000, 20), "depth": 2},
        },
    }

    def step(spec: Any, precision: str) -> Callable[[], float]:
        def run() -> float:
            ctx = make_context(
                options, [0], registered={DATASET: path}, device=device, precision=precision
            )
            with deterministic(num_threads=1, allow_tf32=precision == "tf32"):
                data = resident_data(spec.data, device, ctx)
                learner = build_learner(spec, data, [0], ctx, None)
                learner.begin_epoch(1, None)
                for number in range(LEFT_OUT):
                    learner.train_step(number)
                learner.end_epoch()  # waits for the device
                began = time.perf_counter()
                measured = range(LEFT_OUT, learner.num_steps - 1)  # the last may be smaller
                for number in measured:
                    learner.train_step(number)
                learner.end_epoch()
                return (time.perf_counter() - began) / len(measured)

        return run

    for name, fields in nets.items():
        spec = parse_spec({"kind": "train", "optimizer": {"name": "sgd"}, **fields})
        precisions = ("fp32", "tf32", "bf16") if device == "cuda" else ("fp32", "bf16")
        found = interleave({one: step(spec, one) for one in precisions}, options.rounds(3))
        for precision in precisions[1:]:
            yield speed_up(
                f"{name}, a step in {precision}",
                found[precision],
                found["fp32"],
                baseline="the same in fp32",
            )
