"""Describe traced layers by running them without numbers: shapes, FLOPs, memory, traits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from engine.errors import ModelRejected
from engine.models.layer_layout import Derivative, LayerLayout, ParameterLayout
from engine.models.parts import Shape
from engine.models.traced.derivatives import find_missing_derivatives
from engine.models.traced.graph import BATCHES, find_device, kept_buffers, switched, tell
from engine.models.traced.layer import TracedLayer

_FLOAT = 4


@dataclass(slots=True)
class _Seen:
    """What the operations of one forward pass did."""

    is_random: bool = False
    normalises_by_batch: bool = False
    saved: dict[int, int] = field(default_factory=dict)
    """Bytes kept for the backward pass, by storage"""


def describe_layers(
    layers: Sequence[TracedLayer],
    shape: Sequence[int],
    num_classes: int,
    *,
    tries_derivatives: bool = False,
) -> tuple[LayerLayout, ...]:
    """The layout of traced layers, bottom first.

    layers: on the meta device nothing is computed. shape: of one example. tries_derivatives: find
    out which ones they lack; takes as long as all else. Raises ModelRejected for
    scores of another shape than [examples, num_classes].
    """
    described = []
    inputs = [torch.zeros((batch, *shape), device=find_device(layers[0])) for batch in BATCHES]
    for index, layer in enumerate(layers):
        with switched(layer, True), kept_buffers(layer):
            runs = [_run(layer, x) for x in inputs]
        outputs = [run.output for run in runs]
        lacks = find_missing_derivatives(layer, inputs[0]) if tries_derivatives else ()
        described.append(_describe(f"layers.{index}", layer, inputs, runs, lacks))
        inputs = outputs
    if tuple(inputs[0].shape) != (BATCHES[0], num_classes):
        raise ModelRejected(
            f"the net returns {list(inputs[0].shape)} for {BATCHES[0]} examples; it must return "
            f"[{BATCHES[0]}, {num_classes}]: a score for each class"
        )
    return tuple(described)


def find_input_changes(layers: Sequence[TracedLayer], shape: Sequence[int]) -> list[bool]:
    """For each layer, whether it writes into its input, in training or in evaluation."""
    changes = [False] * len(layers)
    for is_training in (False, True):
        x = torch.zeros((BATCHES[0], *shape), device=find_device(layers[0]))
        for index, layer in enumerate(layers):
            with torch.no_grad(), switched(layer, is_training), kept_buffers(layer):
                version = x._version
                after = layer(x)
                changes[index] |= x._version != version
                x = after.clone()
    return changes


@dataclass(frozen=True, slots=True)
class _Run:
    output: Tensor
    flops: int
    seen: _Seen

    @property
    def saved_bytes(self) -> int:
        return sum(self.seen.saved.values())


def _run(layer: TracedLayer, x: Tensor) -> _Run:
    seen = _Seen()
    held = {_storage(tensor) for tensor in (*layer.parameters(), *layer.buffers(), x)}

    def keep(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in held:
            seen.saved[_storage(tensor)] = tensor.numel() * tensor.element_size()
        return tensor

    counter = FlopCounterMode(display=False)
    try:
        with (
            counter,
            _OperationWatch(seen),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            output = layer(x)
    except Exception as error:
        raise ModelRejected(f"the net fails in training: {tell(error)}") from error
    return _Run(output.detach(), int(counter.get_total_flops()), seen)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _OperationWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes operations that draw random numbers or normalise by the batch."""

    def __init__(self, seen: _Seen) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags and _drops(func, args, kwargs or {}):
            self._seen.is_random = True
        name = str(func)
        if "batch_norm" in name and "backward" not in name:
            trains = "with_update" in name or any(one is True for one in args)
            # instance normalisation is computed as one example whose channels are all examples'
            self._seen.normalises_by_batch |= trains and args[0].shape[0] > 1
        return func(*args, **(kwargs or {}))


def _drops(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether the operation draws; attention has dropout as an argument, which is 0 if unused."""
    for index, argument in enumerate(func._schema.arguments):
        if argument.name == "dropout_p":
            given = args[index] if index < len(args) else kwargs.get("dropout_p")
            return bool(argument.default_value if given is None else given)
    return True


def _describe(
    name: str,
    layer: TracedLayer,
    inputs: Sequence[Tensor],
    runs: Sequence[_Run],
    lacks: tuple[Derivative, ...],
) -> LayerLayout:
    few, more = runs
    output: Shape = tuple(few.output.shape[1:])
    assert more.output.shape[1:] == few.output.shape[1:], "a cut has a row for each example"
    parameters = tuple(
        ParameterLayout(f"{name}.{one}", tuple(tensor.shape))
        for one, tensor in layer.named_parameters()
    )
    buffers = tuple(
        ParameterLayout(f"{name}.{one}", tuple(tensor.shape), _name_of(tensor.dtype))
        for one, tensor in layer.state_dict().items()
        if f"{name}.{one}" not in {parameter.name for parameter in parameters}
    )
    return LayerLayout(
        name=name,
        kind=_kind_of(layer),
        parameters=parameters,
        num_parameters=sum(parameter.size for parameter in parameters),
        forward_flops=more.flops - few.flops,
        output_shape=output,
        activation_size=prod(output),
        saved_floats=max(0, more.saved_bytes - few.saved_bytes) // _FLOAT,
        buffers=buffers,
        normalises_by_batch=few.seen.normalises_by_batch,
        is_random=few.seen.is_random,
        lacks=lacks,
    )


def _kind_of(layer: nn.Module) -> Literal["linear", "conv", "block"]:
    weighted = [
        module
        for module in layer.modules()
        if any(parameter.dim() > 1 for parameter in module.parameters(recurse=False))
    ]
    match weighted:
        case [nn.Linear()]:
            return "linear"
        case [nn.modules.conv._ConvNd()]:
            return "conv"
        case _:
            return "block"


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
