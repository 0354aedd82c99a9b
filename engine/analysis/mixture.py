"""Nets with some parameters from theta_0 and the others from theta_T (paper, Section 4).

Active gamma resets the k parameters that moved most and keeps the rest at theta_T; lazy epsilon
keeps those k and resets the rest. Both apply to the p parameters in the order of
`named_parameters()`. Buffers (running statistics of batch normalisation) are not parameters: they
stay at T, except in the random net, which is theta_0 with its own buffers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from engine.analysis.fractions import Mode
from engine.analysis.movement import Ranking, magnitude_bits, rank_magnitudes
from engine.models.net import LayeredNet

Theta = Mapping[str, Tensor]
"""Parameters and buffers by name."""


class Mixtures:
    """theta_0, theta_T and the order of movement, on the net's device; `load` fills `net`."""

    def __init__(
        self, net: LayeredNet, theta_0: Theta, theta_T: Theta, counts: Sequence[int]
    ) -> None:
        """counts: ascending and distinct numbers of parameters to reset or keep."""
        self.net = net
        self.theta_0, self.theta_T = theta_0, theta_T
        self.flat_0, self.flat_T = self._flatten(theta_0), self._flatten(theta_T)
        self.ranking: Ranking = rank_magnitudes(magnitude_bits(self.flat_T - self.flat_0), counts)

    @property
    def num_parameters(self) -> int:
        return len(self.flat_0)

    def mix(self, mode: Mode, position: int, part: slice = slice(None)) -> Tensor:
        """The parameters of the mixture at `counts[position]`, as a vector; `part` of [p]."""
        is_first = self.ranking.groups[part] <= position
        if mode == "active":
            return torch.where(is_first, self.flat_0[part], self.flat_T[part])
        return torch.where(is_first, self.flat_T[part], self.flat_0[part])

    def end_of(self, mode: Mode, position: int) -> Theta | None:
        """`theta_0` or `theta_T` where the mixture is exactly that net, else None."""
        count = self.ranking.counts[position]
        if count not in (0, self.num_parameters):
            return None
        return self.theta_T if (count == 0) == (mode == "active") else self.theta_0

    @torch.no_grad()
    def load(self, mode: Mode, position: int) -> None:
        """Set `net` to the mixture, bit for bit."""
        end = self.end_of(mode, position)
        self.net.load_state_dict(dict(end or self.theta_T))
        if end is not None:
            return
        start = 0
        for parameter in self.net.parameters():
            part = slice(start, start + parameter.numel())
            parameter.copy_(self.mix(mode, position, part).view(parameter.shape))
            start = part.stop

    def _flatten(self, theta: Theta) -> Tensor:
        device = next(self.net.parameters()).device
        return torch.cat([theta[name].reshape(-1) for name, _ in self.net.named_parameters()]).to(
            device
        )
