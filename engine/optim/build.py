"""Build a torch optimiser from its spec (paper, Section 3)."""

from __future__ import annotations

import torch
from torch.optim import SGD, Adam, Optimizer

from engine.models.net import LayeredNet
from engine.optim.spec import AdamSpec, OptimizerSpec


def build_optimizer(spec: OptimizerSpec, net: LayeredNet, *, capturable: bool = False) -> Optimizer:
    """An optimiser over all parameters of `net`, in one group, in the order of
    `named_parameters()`.

    Frozen layers stay in it: their gradient is None, so the optimiser skips them and leaves their
    buffers unchanged, without weight decay. It is fused: one kernel per step instead of a dozen, on
    the CPU and on a GPU. capturable: the learning rate is a tensor, and Adam's step counters are on
    the GPU, as CUDA graphs require.
    """
    parameters = list(net.parameters())
    lr = torch.tensor(spec.lr, device=parameters[0].device) if capturable else spec.lr
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    if isinstance(spec, AdamSpec):
        return Adam(
            parameters,
            lr=lr,
            betas=(spec.beta1, spec.beta2),
            eps=spec.eps,
            weight_decay=spec.weight_decay,
            fused=fused,
            capturable=capturable and parameters[0].device.type == "cuda",
        )
    sgd = SGD(
        parameters,
        lr=lr,
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


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every group; in place if it is a tensor that a CUDA graph reads."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
