"""The net as a list of layers, counted as in the paper and built from their plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from engine.models.parametrization import TensorScale
from engine.models.parts import (
    Conv,
    Gelu,
    LayerNorm,
    LayerPlan,
    Linear,
    Mean,
    Norm,
    Part,
    Pool,
    Relu,
    Tanh,
)


class LayeredNet(nn.Module):
    """A net that can run a range of its layers and freeze single layers.

    normalises_by_batch, is_random: for each layer, whether its output for an example depends on the
    others of the batch, or on random numbers, in training. draw_own_start: returns the weights and
    buffers that the net's author gives it under a seed, by name; None for nets of plans.
    load_pretrained: returns those tensors by name that replace what is drawn, from a folder of
    weights, downloaded there if allowed; None for nets without. scales: of every parameter, by
    which its layers compute; empty where parameters are the weights.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        *,
        normalises_by_batch: Sequence[bool],
        is_random: Sequence[bool],
        draw_own_start: Callable[[int], dict[str, Tensor]] | None = None,
        load_pretrained: Callable[[Path, bool], dict[str, Tensor]] | None = None,
        scales: Mapping[str, TensorScale] | None = None,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.normalises_by_batch, self.is_random = tuple(normalises_by_batch), tuple(is_random)
        self.draw_own_start = draw_own_start
        self.load_pretrained = load_pretrained
        self.scales = scales or {}
        self.output_scale: Callable[[Tensor, Tensor], Tensor] | None = None
        """Maps (logits, images) to the output; see `engine.models.output_scale`"""

    @property
    def is_traced(self) -> bool:
        """Whether the layers were found by tracing, as those of torchvision and of plug-ins."""
        return self.draw_own_start is not None

    def forward(self, x: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Run layers[start:stop].

        x: the input of layer `start`: images [n, channels, height, width] for 0, otherwise the
        result of `forward(images, 0, start)`. Returns the input of layer `stop`; with None logits
        [n, classes], scaled where the net has a scale, which needs the images.
        """
        below = x
        for index in range(start, len(self.layers) if stop is None else stop):
            x = self.layers[index](x)
        if stop is None and self.output_scale is not None:
            assert start == 0, "the output at the start is that of the images"
            return self.output_scale(x, below)
        return x

    def parameters_of_layer(self, index: int) -> list[nn.Parameter]:
        """The parameters of layer `index`, in the order of `named_parameters()`."""
        return list(self.layers[index].parameters())


class Layer(nn.Module):
    """The pieces of one layer as named children; it computes what `LayerPlan` says.

    multipliers: of the parameters that have another than 1, by piece and name in the piece.
    """

    def __init__(self, plan: LayerPlan, multipliers: Mapping[str, Mapping[str, float]]) -> None:
        super().__init__()
        self._multipliers = multipliers
        for part in plan.all_parts():
            self.add_module(part.name, _build_part(part))
        self._names = [part.name for part in plan.parts]
        self._shortcut_names = (
            None if plan.shortcut is None else [part.name for part in plan.shortcut]
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self._run(self._names, x)
        if self._shortcut_names is None:
            return y
        return functional.relu_(y + self._run(self._shortcut_names, x))

    def _run(self, names: list[str], x: Tensor) -> Tensor:
        children = self._modules
        for name in names:
            child = children[name]
            assert child is not None
            multipliers = self._multipliers.get(name)
            x = child(x) if multipliers is None else _run_scaled(child, multipliers, x)
        return x


def _run_scaled(piece: nn.Module, multipliers: Mapping[str, float], x: Tensor) -> Tensor:
    own = dict(piece.named_parameters())
    weights = {name: own[name] * multiplier for name, multiplier in multipliers.items()}
    result: Tensor = functional_call(piece, weights, (x,))
    return result


class FlatLinear(nn.Linear):
    """A linear map that flattens images, so that a layer takes the output of the one below."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x.flatten(1), self.weight, self.bias)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of images [n, c, h, w] or features [n, c]."""

    def _check_input_dim(self, x: Tensor) -> None:
        assert x.dim() in (2, 4)


class ImageMean(nn.Module):
    """[n, c, h, w] to [n, c]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def _build_part(part: Part) -> nn.Module:
    match part:
        case Conv():
            return nn.Conv2d(
                part.in_channels,
                part.out_channels,
                part.kernel,
                stride=part.stride,
                padding=part.kernel // 2,
                bias=part.bias,
            )
        case Linear():
            return FlatLinear(part.in_features, part.out_features)
        case Norm():
            return BatchNorm(part.channels)
        case LayerNorm():
            return nn.LayerNorm(part.channels)
        case Relu():
            return nn.ReLU(inplace=True)
        case Gelu():
            return nn.GELU()
        case Tanh():
            return nn.Tanh()
        case Pool():
            return nn.MaxPool2d(2)
        case Mean():
            return ImageMean()


def build_on_cpu(
    plans: Sequence[LayerPlan], scales: Mapping[str, TensorScale] | None = None
) -> LayeredNet:
    """The net in fp32 on the CPU, its weights uninitialised.

    Buffers of batch normalisation have their initial values.
    """
    multipliers: list[dict[str, dict[str, float]]] = [{} for _ in plans]
    for path, scale in (scales or {}).items():
        _, index, piece, name = path.split(".")
        if scale.multiplier != 1.0:
            multipliers[int(index)].setdefault(piece, {})[name] = scale.multiplier
    with torch.device("meta"):
        net = LayeredNet(
            [Layer(plan, own) for plan, own in zip(plans, multipliers, strict=True)],
            normalises_by_batch=[
                any(isinstance(part, Norm) for part in plan.all_parts()) for plan in plans
            ],
            is_random=[False] * len(plans),
            scales=scales,
        )
    net.to_empty(device="cpu")
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.reset_running_stats()
    return net
