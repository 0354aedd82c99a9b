"""Build a net from its spec and set its initial weights (paper, Section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod, sqrt
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from engine.data.spec import DatasetInfo
from engine.determinism import derive_seed, make_generator
from engine.errors import WeightsUnavailable
from engine.models.net import LayeredNet, build_on_cpu
from engine.models.parametrization import TensorScale
from engine.models.plans import plan_model
from engine.models.pretrained import load_vgg11_convolutions
from engine.models.spec import (
    CheckpointSpec,
    DescribedSpec,
    HeSpec,
    InitSpec,
    LecunSpec,
    ModelSpec,
    PretrainedSpec,
    TorchInitSpec,
    XavierSpec,
)
from engine.models.start_weights import describe_misfits, list_misfits
from engine.models.traced.build import build_described
from engine.models.weights import describe_tensors, load_tensors


def build_model(
    spec: ModelSpec, info: DatasetInfo, scales: Mapping[str, TensorScale] | None = None
) -> LayeredNet:
    """The net on the CPU in fp32, its weights uninitialised; call `initialise` next.

    scales: of every parameter of a net of plans, where the parametrisation is not the standard one.

    Raises ModelRejected for a net of torchvision or of a plug-in that cannot be used.
    """
    if isinstance(spec, DescribedSpec):
        return build_described(spec, info)
    return build_on_cpu(plan_model(spec, info), scales)


def initialise(
    net: LayeredNet,
    init: InitSpec,
    seed: int,
    *,
    read_checkpoint: Callable[[str], bytes],
    weights_dir: Path,
    allow_download: bool,
) -> None:
    """Set every weight and buffer of `net` in place: a function of `init` and `seed` alone.

    Pretrained weights of torchvision replace what `init` draws where their shapes agree: all but
    the head and a changed stem. A checkpoint replaces everything.

    read_checkpoint: returns the bytes of a theta file. weights_dir: folder of pretrained weights,
    which are downloaded there if allow_download. Raises WeightsUnavailable.
    """
    match init:
        case XavierSpec() | HeSpec() | LecunSpec():
            variance, gains = VARIANCES[init.name], list(init.layer_gains)
            _load_all(net, _draw_normal(net, variance, init.gain, seed, gains))
        case TorchInitSpec():
            _draw_as_torch(net, seed)
        case PretrainedSpec():
            drawn = _draw_normal(net, _xavier_variance, init.gain, seed)
            drawn.update(load_vgg11_convolutions(net, weights_dir, allow_download))
            _load_all(net, drawn)
        case CheckpointSpec():
            _load_all(net, _read_theta(net, init.checkpoint, read_checkpoint))
            return
    if net.load_pretrained is not None:
        net.load_state_dict(net.load_pretrained(weights_dir, allow_download), strict=False)


def _xavier_variance(shape: torch.Size) -> float:
    return 2.0 / ((shape[0] + shape[1]) * prod(shape[2:]))


def _fan_in(shape: torch.Size) -> int:
    """A convolution's fan includes the kernel's area."""
    return prod(shape[1:])


VARIANCES: Mapping[str, Callable[[torch.Size], float]] = {
    "xavier": _xavier_variance,
    "he": lambda shape: 2.0 / _fan_in(shape),
    "lecun": lambda shape: 1.0 / _fan_in(shape),
}
"""By the initialisation's name: the variance of a weight of this shape at gain 1"""


def _draw_as_torch(net: LayeredNet, seed: int) -> None:
    """Reset every module in the order in which it was made, as if the net were made anew.

    The generator is torch's own, seeded for this draw and then set back. Nets of torchvision and
    of plug-ins are made anew.
    """
    if net.draw_own_start is not None:
        _load_all(net, net.draw_own_start(seed))
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "init", "torch"))
        for module in net.modules():
            if any(True for _ in module.parameters(recurse=False)):
                cast(Callable[[], None], module.reset_parameters)()


def _draw_normal(
    net: LayeredNet,
    variance: Callable[[torch.Size], float],
    gain: float,
    seed: int,
    layer_gains: Sequence[float] = (),
) -> dict[str, Tensor]:
    """Weights ~ N(0, gain^2 * variance(shape)), a layer's scaled by its gain besides.

    What is drawn are the parameters of the net's `scales`, so that its weights are so distributed.

    Biases and shifts are 0, scales of normalisations 1, its buffers at their initial values. Of
    nets of torchvision and of plug-ins only linear maps, convolutions and attentions are drawn so;
    all else keeps what the author gives it under the seed.
    Each tensor has its own generator, named after it, so no tensor depends on those drawn before
    it.
    """

    def draw(name: str, shape: torch.Size) -> Tensor:
        own = layer_gains[_layer_of(name)] if layer_gains else 1.0
        scale = net.scales.get(name)
        if scale is None:
            return _draw_matrix(name, shape, gain * own * sqrt(variance(shape)), seed)
        deviation = gain * own * sqrt(variance(torch.Size(scale.draw_shape)))
        return _draw_matrix(name, shape, deviation * scale.draw_factor, seed)

    if net.draw_own_start is not None:
        values = net.draw_own_start(seed)
        matrices, biases = list_matrices(net)
        for name in matrices:
            values[name] = draw(name, values[name].shape)
        for name in biases:
            values[name] = torch.zeros_like(values[name])
        return values
    values = {}
    for name, parameter in net.named_parameters():
        shape = parameter.shape
        if len(shape) > 1:
            values[name] = draw(name, shape)
        else:
            start = 1.0 if name not in net.scales else net.scales[name].draw_factor
            values[name] = torch.full(shape, start if name.endswith(".weight") else 0.0)
    for name, buffer in net.named_buffers():
        fill = torch.ones_like if name.endswith("running_var") else torch.zeros_like
        values[name] = fill(buffer, device="cpu")
    return values


def _layer_of(name: str) -> int:
    """The layer of a parameter named `layers.3.linear.weight`."""
    return int(name.split(".")[1])


def _draw_matrix(name: str, shape: torch.Size, deviation: float, seed: int) -> Tensor:
    generator = make_generator(seed, "init", name)
    return torch.empty(shape).normal_(0.0, deviation, generator=generator)


def list_matrices(net: LayeredNet) -> tuple[list[str], list[str]]:
    """(weights, biases) of the linear maps, convolutions and attentions, by name."""
    weights, biases = [], []
    for path, module in net.named_modules():
        leaves: tuple[str, ...] = ()
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            leaves = ("weight",)
        elif isinstance(module, nn.MultiheadAttention):
            leaves = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
        own = dict(module.named_parameters(recurse=False))
        weights += [f"{path}.{leaf}" for leaf in leaves if leaf in own]
        if leaves:
            biases += [f"{path}.{leaf}" for leaf in own if leaf.endswith("bias")]
    return weights, biases


def _read_theta(
    net: LayeredNet, reference: str, read_checkpoint: Callable[[str], bytes]
) -> Mapping[str, Tensor]:
    tensors = load_tensors(read_checkpoint(reference))
    found, expected = describe_tensors(tensors), describe_tensors(net.state_dict())
    problems = list_misfits(found, expected)
    if problems:
        raise WeightsUnavailable(
            f"checkpoint {reference!r} does not fit the model ({len(problems)} differences): "
            f"{describe_misfits(problems, found)}. Start from a checkpoint of the same model and "
            "data shape"
        )
    values = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    not_finite = sorted(name for name, value in values.items() if not value.isfinite().all())
    if not_finite:
        raise WeightsUnavailable(
            f"checkpoint {reference!r}: {not_finite[0]} holds NaN or infinity as float32, as do "
            f"{len(not_finite) - 1} other tensors; start from finite weights"
        )
    return values


def _load_all(net: LayeredNet, values: Mapping[str, Tensor]) -> None:
    net.load_state_dict(dict(values), strict=True)


__all__ = ["LayeredNet", "build_model", "initialise"]
