"""The masks of a seed: which parameters may move, ranked by movement, gradient, chance or layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from engine.analysis.mixture import flatten
from engine.analysis.movement import draw_bits, magnitude_bits, rank_magnitudes
from engine.data.resident import ResidentData
from engine.determinism import make_generator
from engine.experiments.sparse_train.spec import Mask, SparseTrainSpec
from engine.models.layout import layout
from engine.nets import build_net
from engine.training.first_gradient import measure_first_gradient
from engine.training.masked import MaskedStart
from engine.training.outcome import TrainedSeed


class Masks:
    """The masks of one seed, from its training with all parameters."""

    def __init__(self, spec: SparseTrainSpec, data: ResidentData, trained: TrainedSeed) -> None:
        self._spec, self._data, self._trained = spec, data, trained
        self._net = build_net(spec, data.info)
        self._theta_0 = flatten(self._net, trained.theta_0)
        self._layers = layout(spec.model, data.info)
        self._keys: dict[Mask, Tensor] = {}

    def start(self, mask: Mask, count: int) -> MaskedStart:
        """Where `count` parameters may move and all others stay at theta_0."""
        movable = self.choose(mask, count)
        return MaskedStart(self._trained.theta_0, self._by_name(movable))

    def choose(self, mask: Mask, count: int) -> Tensor:
        """bool [p], on the CPU. Equal ranks are ordered by index."""
        if mask == "by_layer":
            parts = self._split(self._rank("movement"))
            counts = self._spec.count_by_layer(self._layers)
            return torch.cat([_first(part, one) for part, one in zip(parts, counts, strict=True)])
        return _first(self._rank(mask), count)

    def count_in_layers(self, mask: Mask, count: int) -> list[int]:
        """How many parameters of each layer may move, bottom first."""
        return [int(part.sum()) for part in self._split(self.choose(mask, count))]

    def _split(self, vector: Tensor) -> Sequence[Tensor]:
        """The part of each layer, bottom first."""
        return torch.split(vector, [one.num_parameters for one in self._layers])

    def _rank(self, mask: Mask) -> Tensor:
        """int32 [p]: the larger, the earlier it may move."""
        if mask not in self._keys:
            self._keys[mask] = self._measure(mask)
        return self._keys[mask]

    def _measure(self, mask: Mask) -> Tensor:
        match mask:
            case "movement":
                theta_T = flatten(self._net, self._trained.theta_T)
                return magnitude_bits(theta_T - self._theta_0)
            case "gradient_weight":
                gradient = measure_first_gradient(
                    self._spec,
                    self._data,
                    self._trained.seed,
                    self._trained.theta_0,
                    self._spec.gradient_batches,
                )
                return magnitude_bits(gradient * self._theta_0)
        generator = make_generator(self._trained.seed, "sparse mask")
        return draw_bits(len(self._theta_0), generator)

    def _by_name(self, movable: Tensor) -> Mapping[str, Tensor]:
        named = dict(self._net.named_parameters())
        parts = torch.split(movable, [parameter.numel() for parameter in named.values()])
        return {
            name: part.view(parameter.shape)
            for (name, parameter), part in zip(named.items(), parts, strict=True)
        }


def _first(keys: Tensor, count: int) -> Tensor:
    return rank_magnitudes(keys, [count]).first(0)
