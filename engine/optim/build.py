"""From a spec to a torch optimiser (paper, Section 3)."""

from __future__ import annotations

import torch
from torch.optim import SGD, Adam, Optimizer

from engine.models.net import LayeredNet
from engine.optim.spec import AdamSpec, OptimizerSpec


def build_optimizer(spec: OptimizerSpec, net: LayeredNet, *, capturable: bool = False) -> Optimizer:
    """An optimiser over all parameters of `net`, in one group, in the order of `named_parameters()`.

    A frozen layer stays in it: its gradient is None, so the optimiser passes it over, and its buffers wait unchanged,
    without weight decay. Fused: one kernel a step instead of a dozen, on the CPU and on a GPU.
    capturable: the learning rate is a tensor, and Adam's step counters live on the GPU, as a CUDA graph needs.
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
        # The fused kernel cannot begin some buffers while others run, as when a frozen layer trains for the first time.
        for parameter in parameters:
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return sgd


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every group the learning rate `lr`, in place where a CUDA graph holds it as a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
