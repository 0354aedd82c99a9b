"""How often each parameter is among those with the largest gradients (paper, Section 5).

At the end of each epoch the full-batch gradient g over the train set is computed. The alpha % of
all p parameters with the largest |g_i| are active; equal magnitudes are ordered by index, exact
zeros are never active. A parameter's frequency is its count over the epochs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.analysis.fractions import count_of, percent_key
from engine.analysis.movement import INFINITY_BITS, magnitude_bits, rank_magnitudes
from engine.training.learner import Learner


@dataclass(slots=True)
class SeedActivity:
    """The counts of one seed."""

    counts: list[Tensor]
    """For each alpha, integers [p]: in how many epochs the parameter was active."""
    num_selected: list[int]
    """For each alpha: active parameters, summed over epochs."""
    num_tied: list[int]
    """For each alpha: active parameters chosen by index among equal magnitudes."""
    num_zeros: int = 0
    """Gradient components that were exactly zero, summed over epochs."""
    num_epochs: int = 0
    """Epochs with a finite gradient; only these are counted."""


class ActivityCounter:
    """An `EpochHook` that counts the active parameters of every seed for several alphas."""

    def __init__(self, alphas_percent: Sequence[float], num_epochs: int) -> None:
        """alphas_percent: ascending. num_epochs: upper bound, at most 32,767."""
        self._alphas = tuple(alphas_percent)
        self._dtype = torch.uint8 if num_epochs <= 255 else torch.int16
        assert num_epochs <= 32_767
        self._seeds: dict[int, SeedActivity] = {}

    def __call__(self, learner: Learner, epoch: int) -> None:
        for index, seed in enumerate(learner.seeds):
            self.count(seed, learner.full_gradient(index))

    def of(self, seed: int) -> SeedActivity:
        return self._seeds[seed]

    @torch.no_grad()
    def count(self, seed: int, gradient: Tensor) -> None:
        """Add one epoch of a seed. gradient: full-batch, [p]; ignored where it is not finite."""
        activity = self._find(seed, gradient)
        bits = magnitude_bits(gradient)
        if int(bits.max()) >= INFINITY_BITS:
            return
        num_nonzero = int(torch.count_nonzero(bits))
        wanted = [min(count_of(alpha, len(bits)), num_nonzero) for alpha in self._alphas]
        ranking = rank_magnitudes(bits, wanted)
        is_active = torch.empty_like(activity.counts[0])  # same dtype: adding needs no conversion
        for position, counter in enumerate(activity.counts):
            counter += ranking.first(position, out=is_active)
        activity.num_epochs += 1
        activity.num_zeros += len(bits) - num_nonzero
        for position, (selected, tied) in enumerate(zip(wanted, ranking.num_tied, strict=True)):
            activity.num_selected[position] += selected
            activity.num_tied[position] += tied

    def capture(self) -> dict[str, Tensor]:
        """All counts, as tensors named by seed."""
        tensors: dict[str, Tensor] = {}
        for seed, activity in self._seeds.items():
            for key, counter in zip(self._count_keys(seed), activity.counts, strict=True):
                tensors[key] = counter.to("cpu", copy=True)
            sums = [
                *activity.num_selected,
                *activity.num_tied,
                activity.num_zeros,
                activity.num_epochs,
            ]
            tensors[f"{seed}.sums"] = torch.tensor(sums)
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state of `capture()`."""
        self._seeds.clear()
        for name in tensors:
            if not name.endswith(".sums"):
                continue
            seed = int(name.removesuffix(".sums"))
            counts = [tensors[key].clone() for key in self._count_keys(seed)]
            *sums, num_zeros, num_epochs = tensors[name].tolist()
            split = len(self._alphas)
            self._seeds[seed] = SeedActivity(
                counts, sums[:split], sums[split:], num_zeros, num_epochs
            )

    def _count_keys(self, seed: int) -> list[str]:
        return [f"{seed}.counts.{percent_key(alpha)}" for alpha in self._alphas]

    def _find(self, seed: int, gradient: Tensor) -> SeedActivity:
        if seed not in self._seeds:
            num_alphas = len(self._alphas)
            counts = [torch.zeros(len(gradient), dtype=self._dtype) for _ in self._alphas]
            self._seeds[seed] = SeedActivity(counts, [0] * num_alphas, [0] * num_alphas)
        activity = self._seeds[seed]
        activity.counts = [counter.to(gradient.device) for counter in activity.counts]
        return activity
