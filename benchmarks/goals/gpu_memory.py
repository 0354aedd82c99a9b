"""Peak memory of trainings on a GPU against the estimate, and what is kept when they end."""

from __future__ import annotations

import gc
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine_runs import choose_gpu, make_context
from benchmarks.figures import Figure, at_most, spread
from benchmarks.images import write_colour_images
from benchmarks.options import Options
from engine.cost import estimate
from engine.data.resident import resident_data
from engine.experiments.registry import parse_spec
from engine.training.loop import train

DATASET = "colour_images"
MEBIBYTE = 1 << 20


def measure(options: Options) -> Iterator[Figure]:
    device = choose_gpu(options)
    if device is None:
        return
    path = write_colour_images(options.work_dir / f"{DATASET}.npz", options.size(10_000, 130), 100)
    wide, scale = options.size(100_000, 50), options.size(100, 10) / 100
    trainings: dict[str, tuple[dict[str, Any], str]] = {
        f"ReLU-Net w={wide:,} d=1": (
            {"data": options.digits(), "model": {"name": "relu_net", "width": wide}},
            "fp32",
        ),
        "VGG-11": (
            {"data": {"name": DATASET}, "model": {"name": "vgg11", "width_multiplier": scale}},
            "fp32",
        ),
        "VGG-11 in bf16": (
            {"data": {"name": DATASET}, "model": {"name": "vgg11", "width_multiplier": scale}},
            "bf16",
        ),
    }
    for name, (fields, precision) in trainings.items():
        spec = parse_spec({"kind": "train", "epochs": 2, **fields})
        ctx = make_context(
            options, [0], registered={DATASET: path}, device=device, precision=precision
        )
        data = resident_data(spec.data, device, ctx)
        expected = estimate(spec, 1, data.info, device=device, execution=ctx.execution).memory_bytes
        gc.collect()
        before = _used(device)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        gc.disable()  # what a training leaves must be free without it
        try:
            train(spec, ctx)
            kept = _used(device) - before
        finally:
            gc.enable()
        peak = _peak(device)
        ctx.discard()
        yield Figure(
            f"{name}: peak memory",
            "the estimate of the preview",
            "of baseline",
            spread([peak / expected]),
            at_most(1) if device == "cuda" else None,
            note=f"{peak / 2**30:.2f} GiB",
        )
        yield Figure(
            f"{name}: memory kept when it has ended",
            "",
            "MiB",
            spread([max(0, kept) / MEBIBYTE]),
            at_most(100) if device == "cuda" else None,
            note="cuBLAS keeps its workspaces",
        )


def _used(device: str) -> int:
    """Bytes of tensors on the GPU; in a smoke test, of the process."""
    if device == "cuda":
        return torch.cuda.memory_allocated()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
