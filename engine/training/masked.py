"""Training in which only the entries of a mask may move; all others keep their bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class MaskedStart:
    """Where the masked training of a seed starts, and what may move in it."""

    theta: Mapping[str, Tensor]
    """Parameters and buffers by name; the entries that may not move stay at these values"""
    movable: Mapping[str, Tensor]
    """bool, by name of the parameter, in its shape: True where the optimiser may change it"""
    step: int = 0
    """Steps of the training that are left out: it starts with the batch and the learning rate of
    the step after them"""


class FrozenEntries:
    """Keeps the entries of some tensors that may not move at their present values.

    Optimisers work entry by entry, so what they would do to a frozen entry, by momentum, weight
    decay or moments, never reaches another one, and is undone after the step.
    """

    def __init__(self, tensors: Sequence[Tensor], movable: Sequence[Tensor]) -> None:
        """movable: bool, in the shape of each tensor, on any device."""
        self._tensors = tuple(tensors)
        self._movable = [
            mask.to(tensor.device, copy=True) for tensor, mask in zip(tensors, movable, strict=True)
        ]
        self._frozen = [~mask for mask in self._movable]
        self._values = [tensor.detach().clone() for tensor in tensors]

    @torch.no_grad()
    def clear_gradients(self, gradients: Sequence[Tensor | None]) -> None:
        """Set the frozen entries of the gradients to 0, even where they are not finite."""
        for gradient, frozen in zip(gradients, self._frozen, strict=True):
            if gradient is not None:
                gradient.masked_fill_(frozen, 0.0)

    @torch.no_grad()
    def restore(self) -> None:
        """Set the frozen entries of the tensors to the bits that they had at first."""
        for tensor, movable, value in zip(self._tensors, self._movable, self._values, strict=True):
            torch.where(movable, tensor, value, out=tensor)

    def capture(self) -> dict[str, Tensor]:
        """What may move, as part of a training's resume state."""
        return {f"movable.{place}": mask for place, mask in enumerate(self._movable)}

    @torch.no_grad()
    def resume(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `capture` gave, and the values of the tensors, which were restored before."""
        for place, movable in enumerate(self._movable):
            movable.copy_(tensors[f"movable.{place}"])
            torch.logical_not(movable, out=self._frozen[place])
            self._values[place].copy_(self._tensors[place])
