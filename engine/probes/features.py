"""How far the features have moved from those at the start: CKA, flipped ReLUs, effective rank."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from engine.probes.alignment import centred_alignment, linear_kernel
from engine.probes.net import ProbeNet, Theta
from engine.probes.quantities import name_of_layer


@torch.no_grad()
def measure_features(net: ProbeNet, start: Theta, now: Theta) -> dict[str, float]:
    """`cka`, `relu_flips` (of nets with ReLUs), both also by layer, and `effective_rank`.

    The layers of both nets run side by side, so that the activations of one layer are held.
    """
    before = after = net.batch.x
    cka: list[float] = []
    values: dict[str, float] = {}
    flipped = total = 0
    rank = float("nan")
    for layer in range(net.num_layers):
        if layer == net.num_layers - 1:
            rank = effective_rank(after)
        with _ReluInputs() as inputs_before:
            before = net.run(start, before, layer, layer + 1)
        with _ReluInputs() as inputs_after:
            after = net.run(now, after, layer, layer + 1)
        cka.append(centred_alignment(linear_kernel(before), linear_kernel(after)))
        values[name_of_layer("cka", layer)] = cka[-1]
        pairs = zip(inputs_before.positive, inputs_after.positive, strict=True)
        counts = [(int((one != other).sum()), one.numel()) for one, other in pairs]
        if counts:
            changed, units = (sum(part) for part in zip(*counts, strict=True))
            values[name_of_layer("relu_flips", layer)] = changed / units
            flipped, total = flipped + changed, total + units
    values |= {"cka": fmean(cka), "effective_rank": rank}
    if total:
        values["relu_flips"] = flipped / total
    return values


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the singular values over their sum, in [1, min(n, d)].

    features: [n, ...]; NaN where they are not finite or all 0. Source: Roy and Vetterli, "The
    effective rank", EUSIPCO 2007.
    """
    rows = features.flatten(1).double()
    if not rows.isfinite().all():
        return float("nan")
    singular = torch.linalg.svdvals(rows)
    shares = singular / singular.sum()
    return float(torch.special.entr(shares).sum().exp())


class _ReluInputs(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which inputs of the ReLUs that run are above 0, whatever calls them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.positive: list[Tensor] = []
        """bool, one for each ReLU in the order in which they run"""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.relu.default, torch.ops.aten.relu_.default):
            self.positive.append(args[0] > 0)
        return func(*args, **(kwargs or {}))
