"""Small masked trainings on a piece of the embedded digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.errors import RunInterrupted
from engine.experiments.registry import parse_spec
from engine.local import LocalRunContext
from engine.models.weights import load_tensors
from engine.spec import Execution, ExperimentSpec
from engine.training.masked import MaskedStart
from engine.training.outcome import TrainedSeed
from engine.training.phases import Phases

STACKED = {"name": "relu_net", "width": 5, "depth": 2}
ALONE = {"name": "mlp", "widths": [5, 4]}
CONVOLUTIONAL = {"name": "conv_net", "width": 2, "depth": 2}
DATA = {"name": "digits", "train_size": 96, "test_size": 64}
Theta = Mapping[str, Tensor]


class StoppedContext(LocalRunContext):
    """Saves before every step, and is interrupted at its `stop_at`th check."""

    stop_at: int | None = None
    checks = 0

    def should_save(self) -> bool:
        return True

    def check(self) -> None:
        self.checks += 1
        if self.checks == self.stop_at:
            raise RunInterrupted("the test interrupts")

    def theta(self, name: str, seed: int) -> dict[str, Tensor]:
        return load_tensors((self._folder / f"{name}-seed{seed}.safetensors").read_bytes())


def make_spec(**parts: Any) -> ExperimentSpec:
    return parse_spec(
        {"kind": "train", "data": DATA, "batch_size": 32, "epochs": 3, "model": STACKED, **parts}
    )


def make_context(folder: Path, seeds: Sequence[int] = (0,)) -> StoppedContext:
    return StoppedContext(
        folder,
        seeds,
        Execution(device="cpu"),
        data_dir=folder,
        allow_download=False,
    )


def draw_mask(theta: Theta, share: float = 0.4, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    names = sorted(theta)  # a theta that was loaded has another order
    return {name: torch.rand(theta[name].shape, generator=generator) < share for name in names}


def train_masked(
    spec: ExperimentSpec,
    folder: Path,
    seeds: Sequence[int] = (0,),
    *,
    share: float = 0.4,
    start: Any = None,
) -> tuple[dict[int, TrainedSeed], dict[int, TrainedSeed], dict[int, dict[str, Tensor]]]:
    """(plain training, masked training, mask) by seed."""
    phases = Phases(spec, make_context(folder, seeds), 1)
    plain = {one.seed: one for one in phases.train_plain()}
    masks = {seed: draw_mask(one.theta_0, share, seed) for seed, one in plain.items()}
    found: dict[int, TrainedSeed] = {}
    phases.train_masked(
        "only",
        start or (lambda seed: MaskedStart(plain[seed].theta_0, masks[seed])),
        lambda trained: found.__setitem__(trained.seed, trained),
    )
    return plain, found, masks


def bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(torch.int32)


def equal_bits(one: Theta, other: Theta) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(bits(one[name]), bits(other[name])) for name in one
    )
