"""The scaled output of a net: how far a training is from the lazy regime (arXiv 1812.07956)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.models.net import LayeredNet
from engine.models.spec import OutputScaleSpec


@dataclass(frozen=True, slots=True)
class OutputScale:
    """Maps the logits f of images to alpha f, or to alpha (f - f_0) with the `origin` f_0."""

    alpha: float
    origin: LayeredNet | None

    def __call__(self, logits: Tensor, images: Tensor) -> Tensor:
        if self.origin is not None:
            with torch.no_grad():
                start = self.origin(images)
            logits = logits - start
        return self.alpha * logits


def scale_output(net: LayeredNet, spec: OutputScaleSpec | None) -> None:
    """Let `net` give its scaled output from now on; its present weights are those of f_0.

    The copy of the net that gives f_0 is no part of its modules: neither of its state nor of what
    trains.
    """
    if spec is None:
        return
    origin = deepcopy(net).eval().requires_grad_(False) if spec.centred else None
    net.output_scale = OutputScale(spec.alpha, origin)
