"""How far the parameters have moved from their start, as a whole and by layer."""

from __future__ import annotations

import torch

from engine.probes.net import ProbeNet, Theta
from engine.probes.quantities import name_of_layer


def measure_movement(net: ProbeNet, start: Theta, now: Theta) -> dict[str, float]:
    """`movement` ‖θ_t − θ_0‖ / ‖θ_0‖ and `cosine` ⟨θ_t, θ_0⟩ / (‖θ_t‖ ‖θ_0‖).

    Buffers do not count. Layers without parameters have none.
    """
    found = _compare(net.parameter_names, start, now)
    values = {"movement": found[0], "cosine": found[1]}
    for layer in range(net.num_layers):
        names = [name for name in net.parameter_names if name.startswith(f"layers.{layer}.")]
        if names:
            moved, cosine = _compare(names, start, now)
            values[name_of_layer("movement", layer)] = moved
            values[name_of_layer("cosine", layer)] = cosine
    return values


def _compare(names: tuple[str, ...] | list[str], start: Theta, now: Theta) -> tuple[float, float]:
    """(relative distance, cosine), summed in float64; NaN where a norm is 0."""
    square_0 = square_t = square_moved = product = torch.zeros((), dtype=torch.float64)
    for name in names:
        before, after = start[name].double(), now[name].double()
        square_0 = square_0 + before.square().sum().cpu()
        square_t = square_t + after.square().sum().cpu()
        square_moved = square_moved + (after - before).square().sum().cpu()
        product = product + (after * before).sum().cpu()
    return (
        float((square_moved / square_0).sqrt()),
        float(product / (square_0 * square_t).sqrt()),
    )
