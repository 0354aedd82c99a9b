"""Which derivatives a traced layer allows, tried without numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp, vmap

from engine.models.attention import plain_attention
from engine.models.layer_layout import Derivative
from engine.models.traced.graph import kept_buffers, switched
from engine.models.traced.layer import TracedLayer

_OF_TRANSFORMS = ("vmap", "forward AD", "functorch", "torch.func")
"""In messages of torch about operations without a rule for a transform"""


def lacks_rule(error: Exception) -> bool:
    """Whether an error of torch says that an operation has no rule for a transform."""
    return any(word in str(error) for word in _OF_TRANSFORMS)


def find_missing_derivatives(layer: TracedLayer, x: Tensor) -> tuple[Derivative, ...]:
    """Those by the layer's parameters and its input that torch says it cannot take.

    x: a batch; on the meta device nothing is computed. Other errors say nothing of derivatives.
    """
    parameters = {name: tensor.detach() for name, tensor in layer.named_parameters()}
    x = x.detach()

    def run(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        result: Tensor = functional_call(layer, parameters, (x,))
        return result

    def sum_of_one(parameters: dict[str, Tensor], example: Tensor) -> Tensor:
        return run(parameters, example[None]).sum()

    trials: dict[Derivative, Callable[[], object]] = {
        "per_example": lambda: vmap(grad(sum_of_one, argnums=(0, 1)), in_dims=(None, 0))(
            parameters, x
        ),
        "forward": lambda: jvp(run, (parameters, x), (parameters, x)),
    }
    return tuple(name for name, trial in trials.items() if not _succeeds(layer, trial))


def _succeeds(layer: TracedLayer, trial: Callable[[], object]) -> bool:
    try:
        with switched(layer, False), kept_buffers(layer), plain_attention(), torch.no_grad():
            trial()
    except RuntimeError as error:  # also NotImplementedError
        return not lacks_rule(error)
    return True
