"""The net as a function of its parameters, on the probe batch, in evaluation mode.

Batch normalisation uses its running statistics and dropout is off: with batch statistics, or random
numbers, an example's output would depend on the other examples and the kernel would not be one of
pairs of examples. The running statistics belong to the net at t, so they move as weights do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from engine.data.resident import ResidentData
from engine.determinism import make_generator
from engine.models.attention import plain_attention
from engine.models.net import LayeredNet
from engine.models.spec import OutputScaleSpec
from engine.probes.spec import ProbesSpec

Theta = Mapping[str, Tensor]
"""Parameters and buffers by name"""


@dataclass(frozen=True, slots=True)
class ProbeBatch:
    """The fixed examples on which a net is compared with its start."""

    x: Tensor
    y: Tensor
    """int64 [n]"""
    num_classes: int


def draw_batch(probes: ProbesSpec, data: ResidentData, seed: int) -> ProbeBatch:
    """Examples drawn without replacement: a function of the seed, the split and n alone.

    seed: `data.seed` of the spec.
    """
    x, y = (data.x_train, data.y_train) if probes.split == "train" else (data.x_test, data.y_test)
    generator = make_generator(seed, "probes", probes.split)
    rows = torch.randperm(len(y), generator=generator)[: probes.examples].to(y.device)
    return ProbeBatch(x[rows], y[rows], data.info.num_classes)


class ProbeNet:
    """A net of which only the structure is used.

    net: on the device of the batch; it is switched to evaluation mode. output_scale: of the
    training, which `run` leaves out.
    """

    def __init__(
        self, net: LayeredNet, batch: ProbeBatch, output_scale: OutputScaleSpec | None = None
    ) -> None:
        self._net, self.batch, self.output_scale = net.eval(), batch, output_scale
        self.num_layers = len(net.layers)
        self.parameter_names = tuple(name for name, _ in net.named_parameters())

    def place(self, theta: Theta) -> dict[str, Tensor]:
        """The tensors on the device of the batch."""
        return {name: tensor.to(self.batch.x.device) for name, tensor in theta.items()}

    def parameters_of(self, theta: Theta) -> dict[str, Tensor]:
        """Those that are trained, without buffers."""
        return {name: theta[name] for name in self.parameter_names}

    def run(self, theta: Theta, x: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Layers start to stop with these tensors; by default the logits [n, classes]."""
        with plain_attention():
            result: Tensor = functional_call(self._net, dict(theta), (x, start, stop))
        return result
