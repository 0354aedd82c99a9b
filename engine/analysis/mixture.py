"""Nets with some parameters from theta_R and the others from theta_T (paper, Section 4).

theta_R is the point reset to, in the paper theta_0. Active gamma resets the first k parameters of
an order, those that moved most, and keeps the rest at theta_T; lazy epsilon keeps those k and
resets the rest. Both apply to the p parameters in the order of `named_parameters()`. Buffers
(running statistics of batch normalisation) are not parameters: they stay at T, except where every
parameter is reset, which gives theta_R with its own buffers.
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
    """theta_R, theta_T and the order of reset, on the net's device; `load` fills `net`."""

    def __init__(
        self,
        net: LayeredNet,
        theta_R: Theta,
        theta_T: Theta,
        ranking: Ranking | Sequence[int],
        in_scope: Tensor | None = None,
    ) -> None:
        """ranking: of all parameters; or counts, ascending and distinct, in the order of movement.

        in_scope: bool [p], the parameters that may be reset; the others stay at theta_T. None: all.
        """
        if in_scope is not None and bool(in_scope.all()):
            in_scope = None
        self.net = net
        self.theta_R, self.theta_T = theta_R, theta_T
        self.flat_R, self.flat_T = flatten(net, theta_R), flatten(net, theta_T)
        self._covers_all = in_scope is None
        if not isinstance(ranking, Ranking):
            ranking = rank_magnitudes(magnitude_bits(self.flat_T - self.flat_R), ranking)
        if in_scope is not None:
            self.flat_R = torch.where(in_scope, self.flat_R, self.flat_T)
        self.num_in_scope = len(self.flat_R) if in_scope is None else int(in_scope.sum())
        self.ranking = ranking

    @property
    def num_parameters(self) -> int:
        return len(self.flat_R)

    def mix(self, mode: Mode, position: int, part: slice = slice(None)) -> Tensor:
        """The parameters of the mixture at `counts[position]`, as a vector; `part` of [p]."""
        is_first = self.ranking.groups[part] <= position
        if mode == "active":
            return torch.where(is_first, self.flat_R[part], self.flat_T[part])
        return torch.where(is_first, self.flat_T[part], self.flat_R[part])

    def end_of(self, mode: Mode, position: int) -> Theta | None:
        """`theta_R` or `theta_T` where the mixture is exactly that net, else None."""
        count = self.ranking.counts[position]
        if count not in (0, self.num_in_scope):
            return None
        if (count == 0) == (mode == "active"):
            return self.theta_T
        return self.theta_R if self._covers_all else None

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


def flatten(net: LayeredNet, theta: Theta) -> Tensor:
    """The parameters of `theta` as a vector [p], on the net's device."""
    device = next(net.parameters()).device
    return torch.cat([theta[name].reshape(-1) for name, _ in net.named_parameters()]).to(device)
