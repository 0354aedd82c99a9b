"""GPU benchmarks. Without a GPU nothing is measured, except in a smoke test, which uses the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from benchmarks.engine_runs import make_context, run_kind, train_seeds
from benchmarks.figures import Figure, at_most, spread
from benchmarks.images import write_colour_images
from benchmarks.interleave import interleave, share, speed_up, timed
from benchmarks.options import Options
from engine.experiments.registry import parse_spec
from engine.experiments.reinit_sweep.spec import ReinitSweepSpec

DATASET = "colour"
SGD = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
TOP_1 = {"name": "top_k_all_bottoms", "k": 1, "rho": 0.1}


def measure(options: Options) -> Iterator[Figure]:
    if not torch.cuda.is_available() and not options.smoke:
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    yield from _seeds(options, device)
    yield from _layerwise(options, device)
    yield from _sweep(options, device)


def _seeds(options: Options, device: str) -> Iterator[Figure]:
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
    yield _seconds(name, found["graphs"], 1, options.data_description)
    yield speed_up(
        name,
        found["graphs"],
        found["calls"],
        baseline="the same with `cuda_graphs` off",
    )


def _layerwise(options: Options, device: str) -> Iterator[Figure]:
    """With CIFAR-10's size and shape, in the precision of the goal."""
    num_train, num_test = options.size(50_000, 130), options.size(10_000, 26)
    path = write_colour_images(options.work_dir / f"{DATASET}.npz", num_train, num_test)
    epochs = options.size(180, 2)
    model = {"name": "vgg11", "width_multiplier": 0.1 if options.smoke else 1.0}

    def trained(policy: Mapping[str, Any]) -> float:
        fields = {"kind": "lws", "data": {"name": DATASET}, "model": model, "optimizer": SGD}
        spec = parse_spec({**fields, "policy": dict(policy), "epochs": epochs})
        ctx = make_context(
            options, [0], registered={DATASET: path}, device=device, precision="bf16"
        )
        (seed_result,) = run_kind(spec, ctx)
        ctx.discard()
        seconds: float = seed_result.timings.train_seconds
        return seconds

    found = interleave(
        {"full": lambda: trained({"name": "full"}), "sparse": lambda: trained(TOP_1)},
        options.rounds(1),
        warm_up=False,
    )
    note = f"{num_train:,} images of CIFAR-10's shape, bf16, {epochs} epochs"
    yield _seconds("VGG-11, vanilla SGD", found["full"], 40, note)
    yield _seconds("VGG-11, Top 1 All Bottoms, rho = 0.1", found["sparse"], 8, note)
    yield share(
        "VGG-11, Top 1 All Bottoms, rho = 0.1",
        found["sparse"],
        found["full"],
        baseline="vanilla SGD",
    )


def _sweep(options: Options, device: str) -> Iterator[Figure]:
    width = options.size(100_000, 50)
    spec = ReinitSweepSpec.model_validate(
        {
            "data": options.digits(),
            "model": {"name": "relu_net", "width": width},
            "epochs": 1,
        }
    )

    def swept() -> float:
        ctx = make_context(options, [0], device=device)
        (seed_result,) = run_kind(spec, ctx)
        ctx.discard()
        seconds: float = seed_result.sweep_seconds
        return seconds

    found = interleave({"sweep": swept}, options.rounds(3))
    name = f"a sweep of {len(spec.fractions_percent)} fractions x 2 modes, w={width:,} d=1"
    yield _seconds(name, found["sweep"], 2, options.data_description)


def _seconds(name: str, measured: Sequence[float], limit_seconds: float, note: str) -> Figure:
    return Figure(
        name=name,
        baseline="",
        unit="s",
        value=spread(measured),
        goal=at_most(limit_seconds),
        note=note,
    )
