"""How skewed a gradient is: its components' magnitudes in descending order (paper, Figure 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.analysis.fractions import count_of
from engine.training.learner import Learner

CURVE_POINTS = 200
"""Ranks stored for drawing: this many with linear spacing, and this many with logarithmic."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The sorted magnitudes of one gradient with p components."""

    magnitudes: Tensor
    """float32 [p] on the CPU, descending."""
    quantiles: dict[float, float]
    """Quantiles of |g_i| by percent: 50 is the median."""
    share_of_norm: dict[float, float]
    """Share of the squared norm that the largest components hold, by their percentage.

    0 for a gradient of zeros.
    """
    ranks: tuple[int, ...]
    """Ranks for drawing, from 1 to p, ascending."""
    values: tuple[float, ...]
    """The magnitudes at those ranks."""
    cumulative_shares: tuple[float, ...]
    """Share of the squared norm of the components up to each rank; 0 for a gradient of zeros."""


@torch.no_grad()
def measure_spectrum(
    gradient: Tensor, quantile_percents: Sequence[float], share_percents: Sequence[float]
) -> Spectrum:
    """Sort |g| and summarise it. gradient: float32 [p], finite."""
    magnitudes = torch.sort(gradient.abs(), descending=True).values.cpu()
    size = len(magnitudes)
    squares = magnitudes.double().square().cumsum(0)
    total = float(squares[-1])

    def share(percent: float) -> float:
        count = count_of(percent, size)
        return float(squares[count - 1]) / total if count and total else 0.0

    ranks = ranks_to_draw(size)
    return Spectrum(
        magnitudes,
        {
            percent: float(magnitudes[_rank_of_quantile(percent, size)])
            for percent in quantile_percents
        },
        {percent: share(percent) for percent in share_percents},
        tuple(ranks.tolist()),
        tuple(magnitudes[ranks - 1].tolist()),
        tuple((squares[ranks - 1] / (total or 1.0)).tolist()),
    )


def ranks_to_draw(size: int) -> Tensor:
    """Ranks between 1 and `size` that show the curve on linear and on logarithmic axes."""
    linear = torch.linspace(1, size, CURVE_POINTS, dtype=torch.float64)
    logarithmic = torch.logspace(
        0,
        float(torch.log10(torch.tensor(size, dtype=torch.float64))),
        CURVE_POINTS,
        dtype=torch.float64,
    )
    ranks: Tensor = torch.unique(torch.cat([linear, logarithmic]).round().long().clamp(1, size))
    return ranks


def _rank_of_quantile(percent: float, size: int) -> int:
    """Index in descending order of the smallest magnitude that `percent` of all do not exceed."""
    not_exceeding = max(1, -(-percent * size // 100))
    return size - int(not_exceeding)


class SpectrumProbe:
    """A `StepHook` that measures the mini-batch gradient of every seed at chosen steps."""

    def __init__(
        self,
        steps: Sequence[int],
        quantile_percents: Sequence[float],
        share_percents: Sequence[float],
    ) -> None:
        self._steps = frozenset(steps)
        self._quantile_percents, self._share_percents = quantile_percents, share_percents
        self._gradients: dict[tuple[int, int], Tensor] = {}

    def __call__(self, learner: Learner, step: int) -> None:
        if step not in self._steps:
            return
        for index, seed in enumerate(learner.seeds):
            gradient = learner.batch_gradient(index)
            if bool(torch.isfinite(gradient).all()):
                self._gradients[seed, step] = gradient.abs().to("cpu")

    def spectra(self, seed: int) -> dict[int, Spectrum]:
        """Spectra by step, for the steps that were reached with a finite gradient."""
        return {
            step: measure_spectrum(gradient, self._quantile_percents, self._share_percents)
            for (of_seed, step), gradient in sorted(self._gradients.items())
            if of_seed == seed
        }

    def capture(self) -> dict[str, Tensor]:
        return {f"{seed}.{step}": gradient for (seed, step), gradient in self._gradients.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self._gradients.clear()
        for name, gradient in tensors.items():
            seed, _, step = name.partition(".")
            self._gradients[int(seed), int(step)] = gradient.clone()
