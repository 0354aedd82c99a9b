"""The net's first-order model at its start, against the net itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import jvp
from torch.nn.functional import cross_entropy

from engine.probes.net import ProbeNet, Theta


@torch.no_grad()
def measure_linearised(net: ProbeNet, start: Theta, now: Theta) -> dict[str, float]:
    """Accuracy and loss of f_lin = f(θ_0) + J(θ_0)(θ_t − θ_0) and of f(θ_t), and their distance.

    J(θ_0)(θ_t − θ_0) is one forward-mode product over the batch. f_lin has the buffers of θ_0.
    Where the output is scaled, both are scaled alike. Source of `linear_error`: Lee et al., arXiv
    1902.06720.
    """
    batch = net.batch
    before, after = net.parameters_of(start), net.parameters_of(now)
    moved = {name: after[name] - before[name] for name in before}

    def run(parameters: dict[str, Tensor]) -> Tensor:
        return net.run({**start, **parameters}, batch.x)

    at_start, change, *_ = jvp(run, (before,), (moved,))
    linear, actual = at_start + change, net.run(now, batch.x)
    if net.output_scale is not None:
        if net.output_scale.centred:
            linear, actual = change, actual - at_start
        linear, actual = net.output_scale.alpha * linear, net.output_scale.alpha * actual
    values = {"linear_error": float((linear - actual).double().square().mean().sqrt())}
    for name, logits in (("linear", linear), ("probe", actual)):
        right = logits.argmax(dim=1) == batch.y
        values[f"{name}_accuracy"] = float(right.double().mean())
        values[f"{name}_loss"] = float(cross_entropy(logits.double(), batch.y))
    return values
