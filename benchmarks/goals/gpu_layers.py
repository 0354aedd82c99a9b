"""Layer-wise sparse SGD of VGG-11 on a GPU, with CIFAR-10's size, in the precision of the goal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.engine_runs import choose_gpu, make_context, run_kind
from benchmarks.figures import Figure, at_most, in_seconds
from benchmarks.images import write_colour_images
from benchmarks.interleave import interleave, share
from benchmarks.options import Options
from engine.experiments.registry import parse_spec

DATASET = "colour"
SGD = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
TOP_1 = {"name": "top_k_all_bottoms", "k": 1, "rho": 0.1}


def measure(options: Options) -> Iterator[Figure]:
    device = choose_gpu(options)
    if device is None:
        return
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
    yield in_seconds("VGG-11, vanilla SGD", found["full"], at_most(40), note)
    yield in_seconds("VGG-11, Top 1 All Bottoms, rho = 0.1", found["sparse"], at_most(8), note)
    yield share(
        "VGG-11, Top 1 All Bottoms, rho = 0.1",
        found["sparse"],
        found["full"],
        baseline="vanilla SGD",
    )
