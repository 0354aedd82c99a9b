"""What bits depend on in addition to the spec: libraries, instruction set, device.

The same spec, seed and threads give the same bits where `describe_arithmetic` is equal.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from torch.nn import functional

from engine.determinism import deterministic, make_generator

_ROWS, _INPUTS, _OUTPUTS = 128, 300, 100
"""A typical batch and layer: large enough for the vectorised kernels, done in a millisecond."""


@cache
def describe_arithmetic(device: str = "cpu") -> Mapping[str, str]:
    """What the bits of this process depend on; threads are part of the spec's execution.

    `probe` is a hash of the bits of some products, convolutions and sums: two hosts with different
    probes round differently, whatever the reason (instruction sets, library builds).
    """
    with deterministic(num_threads=1):
        return _describe(device)


def _describe(device: str) -> dict[str, str]:
    found = {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "probe": _probe(torch.device("cpu")),
    }
    if torch.device(device).type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = str(torch.version.cuda)
        found["gpu_probe"] = _probe(torch.device(device))
    return found


def list_differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Each value that differs, as `name: before, now`; empty if equal bits are expected."""
    names = sorted({*before, *now})
    return [
        f"{name}: {before.get(name, 'unknown')}, now {now.get(name, 'unknown')}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _probe(device: torch.device) -> str:
    generator = make_generator(0, "arithmetic")

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device)

    x, weight, bias = draw(_ROWS, _INPUTS), draw(_OUTPUTS, _INPUTS), draw(_OUTPUTS)
    images, filters = draw(8, 3, 16, 16), draw(8, 3, 3, 3)
    stacked = torch.bmm(draw(3, _ROWS, 32), draw(3, 32, _OUTPUTS))
    hidden = functional.linear(x, weight, bias)
    results = (
        hidden,
        hidden.T @ x,
        hidden.log_softmax(1).sum(0),
        stacked,
        functional.conv2d(images, filters, padding=1),
        hidden.square().sum().sqrt().reshape(1),
    )
    digest = hashlib.sha256()
    for result in results:
        digest.update(result.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
