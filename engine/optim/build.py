"""Build a torch optimiser from its spec (paper, Section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from engine.models.net import LayeredNet
from engine.optim.spec import AdamSpec, AdamWSpec, OptimizerSpec

LAYER = "layer"
"""The key of a group's layer, where each layer has its own learning rate"""


def build_optimizer(
    spec: OptimizerSpec, net: LayeredNet, *, capturable: bool = False, by_layer: bool = False
) -> Optimizer:
    """An optimiser over all parameters of `net`.

    Frozen layers stay in it: their gradient is None, so the optimiser skips them and leaves their
    buffers unchanged, without weight decay. It is fused: one kernel per step instead of a dozen, on
    the CPU and on a GPU. capturable: the learning rate is a tensor, and Adam's step counters are on
    the GPU, as CUDA graphs require. by_layer: each layer has a group, and so a learning rate, of
    its own; the arithmetic is the same.
    """
    parameters = list(net.parameters())
    device = parameters[0].device
    groups = _group(spec, net, by_layer=by_layer)
    for group in groups:
        group["lr"] = torch.tensor(spec.lr, device=device) if capturable else spec.lr
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    if isinstance(spec, AdamSpec | AdamWSpec):
        return (AdamW if isinstance(spec, AdamWSpec) else Adam)(
            groups,
            betas=(spec.beta1, spec.beta2),
            eps=spec.eps,
            weight_decay=spec.weight_decay,
            fused=fused,
            capturable=capturable and device.type == "cuda",
        )
    sgd = SGD(
        groups,
        momentum=spec.momentum,
        nesterov=spec.nesterov and spec.momentum > 0,
        weight_decay=spec.weight_decay,
        fused=fused,
    )
    if spec.momentum > 0:
        # The fused kernel needs all buffers or none, so it fails when a frozen layer trains later.
        for parameter in parameters:
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return sgd


def _group(spec: OptimizerSpec, net: LayeredNet, *, by_layer: bool) -> list[dict[str, Any]]:
    """The groups of parameters that share learning rate and weight decay."""
    parts: list[dict[str, Any]] = [{"params": list(net.parameters())}]
    if by_layer:
        parts = [
            {"params": net.parameters_of_layer(index), LAYER: index}
            for index in range(len(net.layers))
        ]
    if not (isinstance(spec, AdamWSpec) and spec.decay == "matrices"):
        return parts
    groups = []
    for part in parts:
        matrices = [one for one in part["params"] if _is_matrix(one)]
        others = [one for one in part["params"] if not _is_matrix(one)]
        groups.append({**part, "params": matrices})
        groups.append({**part, "params": others, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def _is_matrix(parameter: nn.Parameter) -> bool:
    """Whether it is the weight of a linear map or a convolution."""
    return parameter.dim() > 1


def set_learning_rate(optimizer: Optimizer, lr: float | Sequence[float]) -> None:
    """Set the learning rate of every group, a sequence by the group's layer.

    It is set in place if it is a tensor that a CUDA graph reads.
    """
    for group in optimizer.param_groups:
        value = lr if isinstance(lr, float) else lr[group[LAYER]]
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value
