"""A step of VGG-11 in bf16 and channels_last, compared with fp32."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch.nn import functional

from benchmarks.engine_runs import Context, make_context
from benchmarks.figures import Figure, at_least
from benchmarks.images import write_colour_images
from benchmarks.interleave import interleave, speed_up
from benchmarks.options import Options
from engine.data.resident import ResidentData, resident_data
from engine.experiments.registry import parse_spec
from engine.models.build import build_model
from engine.training.plan import build_learner

DATASET = "colour_batches"
STEPS = 3


def measure(options: Options) -> Iterator[Figure]:
    path = write_colour_images(options.work_dir / f"{DATASET}.npz", 128 * STEPS, 100)
    multiplier = 0.1 if options.smoke else 1.0
    spec = parse_spec(
        {
            "kind": "train",
            "data": {"name": DATASET},
            "model": {"name": "vgg11", "width_multiplier": multiplier},
            "optimizer": {"name": "sgd"},
        }
    )

    def engine_steps(precision: str) -> Callable[[], float]:
        ctx: Context = make_context(options, [0], registered={DATASET: path}, precision=precision)
        learner = build_learner(spec, resident_data(spec.data, "cpu", ctx), [0], ctx, None)

        def run() -> float:
            learner.begin_epoch(1, None)
            began = time.perf_counter()
            for step in range(STEPS):
                learner.train_step(step)
            return (time.perf_counter() - began) / STEPS

        return run

    ctx = make_context(options, [0], registered={DATASET: path})
    data = resident_data(spec.data, "cpu", ctx)
    plain_net = build_model(spec.model, data.info)
    for parameter in plain_net.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    found = interleave(
        {
            "bf16": engine_steps("bf16"),
            "fp32": engine_steps("fp32"),
            "plain": lambda: _plain_steps(plain_net, data),
        },
        options.rounds(5),
    )
    yield speed_up(
        "VGG-11 step of 128 images, bf16 and channels_last",
        found["bf16"],
        found["fp32"],
        baseline="the engine's fp32 step, channels_last too",
        goal=at_least(1.7),
        limit="2.3 x",
        note=f"{torch.backends.cpu.get_cpu_capability()}; no gain without bf16 instructions",
    )
    yield speed_up(
        "VGG-11 step of 128 images, fp32 and channels_last",
        found["fp32"],
        found["plain"],
        baseline="a plain fp32 step in torch's default memory format, SGD not fused",
    )


def _plain_steps(net: torch.nn.Module, data: ResidentData) -> float:
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    began = time.perf_counter()
    for step in range(STEPS):
        x, y = (rows[128 * step : 128 * (step + 1)] for rows in (data.x_train, data.y_train))
        optimizer.zero_grad()
        functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return (time.perf_counter() - began) / STEPS
