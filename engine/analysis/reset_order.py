"""The order in which a sweep resets parameters: criterion, scope, and cuts at some fractions.

`movement`: |theta_T - reference|, largest first (paper, Section 4). `magnitude`: |theta_T|, and
`magnitude_increase`: |theta_T| - |reference| (both arXiv 1905.01067). `random`: drawn from the
seed. Entries of equal rank are ordered by index. The reference is the point reset to, or theta_0
for a fresh draw and for zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from engine.analysis.fractions import Criterion, count_of, distinct_counts
from engine.analysis.movement import (
    Ranking,
    draw_bits,
    magnitude_bits,
    rank_by_sorting,
    rank_magnitudes,
    read_thresholds,
)
from engine.determinism import make_generator
from engine.models.net import LayeredNet

Scope = Literal["global", "per_layer"] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResetOrder:
    """All parameters in the order of reset, cut at some fractions."""

    ranking: Ranking
    """Its counts are those of the whole net, ascending and distinct."""
    in_scope: Tensor | None
    """bool [p]: the parameters that may be reset; None: all"""
    counts: tuple[int, ...]
    """Number of parameters in each requested fraction, in their order"""
    thresholds: tuple[float | None, ...] | None
    """For each cut the criterion of the last parameter before it; None where layers are ranked
    apart, or at random"""


@dataclass(frozen=True, slots=True)
class LayerSpan:
    """The place of one layer's parameters in the vector of all parameters."""

    name: str
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


def layer_spans(net: LayeredNet) -> list[LayerSpan]:
    """The place of each layer in the vector of all parameters, bottom first."""
    spans, start = [], 0
    for number, layer in enumerate(net.layers):
        stop = start + sum(parameter.numel() for parameter in layer.parameters())
        spans.append(LayerSpan(f"layers.{number}", start, stop))
        start = stop
    return spans


def order_parameters(
    criterion: Criterion,
    scope: Scope,
    *,
    reference: Tensor,
    trained: Tensor,
    layers: Sequence[LayerSpan],
    percents: Sequence[float],
    seed: int,
) -> ResetOrder:
    """Order the parameters by `criterion` and cut the order at `percents` of those in `scope`.

    reference, trained: float32 [p]. per_layer: the share of each layer, ranked apart. Layer names:
    the share of these layers' parameters together, and no other parameter is ever reset.
    """
    keys = _Keys(criterion, reference, trained, seed)
    if scope == "global":
        size = len(trained)
        counts = distinct_counts(percents, size)
        ranking = keys.rank(slice(None), counts)
        of_fraction = tuple(count_of(percent, size) for percent in percents)
        return ResetOrder(ranking, None, of_fraction, keys.thresholds(ranking))
    if scope == "per_layer":
        return _order_each_layer(keys, layers, percents)
    return _order_layers(keys, [layer for layer in layers if layer.name in scope], percents)


class _Keys:
    """The values by which parameters are ranked."""

    def __init__(self, criterion: Criterion, reference: Tensor, trained: Tensor, seed: int) -> None:
        self._criterion = criterion
        match criterion:
            case "movement":
                self._values = trained - reference
            case "magnitude":
                self._values = trained
            case "magnitude_increase":
                self._values = trained.abs() - reference.abs()
            case "random":
                generator = make_generator(seed, "reset order")
                self._values = draw_bits(len(trained), generator).to(trained.device)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def device(self) -> torch.device:
        return self._values.device

    def rank(self, part: slice | Tensor, counts: Sequence[int]) -> Ranking:
        values = self._values[part]
        match self._criterion:
            case "movement" | "magnitude":
                return rank_magnitudes(magnitude_bits(values), counts)
            case "random":
                return rank_magnitudes(values, counts)
            case "magnitude_increase":
                return rank_by_sorting(values, counts)

    def thresholds(self, ranking: Ranking) -> tuple[float | None, ...] | None:
        """Of a ranking of all parameters."""
        match self._criterion:
            case "movement" | "magnitude":
                return tuple(read_thresholds(magnitude_bits(self._values), ranking))
            case "magnitude_increase":
                return tuple(
                    float(self._values[ranking.first(position)].min()) if count else None
                    for position, count in enumerate(ranking.counts)
                )
            case "random":
                return None


def _order_each_layer(
    keys: _Keys, layers: Sequence[LayerSpan], percents: Sequence[float]
) -> ResetOrder:
    of_layers = [tuple(count_of(percent, layer.size) for layer in layers) for percent in percents]
    distinct = sorted(set(of_layers), key=sum)
    groups = torch.empty(len(keys), dtype=torch.uint8, device=keys.device)
    num_tied = [0] * len(distinct)
    for number, layer in enumerate(layers):
        part = slice(layer.start, layer.stop)
        ranking = keys.rank(part, [counts[number] for counts in distinct])
        groups[part] = ranking.groups
        num_tied = [tied + more for tied, more in zip(num_tied, ranking.num_tied, strict=True)]
    totals = tuple(sum(counts) for counts in distinct)
    whole = Ranking(totals, groups, tuple(num_tied))
    return ResetOrder(whole, None, tuple(map(sum, of_layers)), None)


def _order_layers(
    keys: _Keys, layers: Sequence[LayerSpan], percents: Sequence[float]
) -> ResetOrder:
    in_scope = torch.zeros(len(keys), dtype=torch.bool, device=keys.device)
    for layer in layers:
        in_scope[layer.start : layer.stop] = True
    places = in_scope.nonzero().squeeze(1)
    counts = distinct_counts(percents, len(places))
    ranking = keys.rank(places, counts)
    # Beyond the last cut, so that no fraction holds the parameters out of scope.
    groups = torch.full((len(keys),), len(counts), dtype=torch.uint8, device=keys.device)
    groups[places] = ranking.groups
    of_fraction = tuple(count_of(percent, len(places)) for percent in percents)
    return ResetOrder(Ranking(counts, groups, ranking.num_tied), in_scope, of_fraction, None)
