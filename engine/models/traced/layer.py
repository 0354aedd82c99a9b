"""A layer of a traced module: it holds the module's own pieces under their own names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import Tensor, fx, nn

from engine.models.traced.graph import CONSTANT, add_constants
from engine.models.traced.pieces import get_held
from engine.models.traced.plan import TracedPlan

_Run = Callable[[nn.Module, Tensor], Tensor]


class TracedLayer(nn.Module):
    """One layer; submodules, parameters and buffers are shared with the module.

    The rows of its output are dense, so that cached rows have the layout of computed ones.

    changes_input: whether its first operation writes into its input; the layer then works on a
    copy, so that a caller's activations stay as they are.
    """

    def __init__(self, module: nn.Module, plan: TracedPlan, changes_input: bool) -> None:
        super().__init__()
        for target in plan.targets:
            self._hold(module, target)
        self._changes_input = changes_input
        self._runs = {
            mode: tuple(_compile(self, graph) for graph in graphs)
            for mode, graphs in plan.graphs.items()
        }

    def forward(self, x: Tensor) -> Tensor:
        if self._changes_input:
            x = x.clone()
        for run in self._runs[self.training]:
            x = run(self, x)
        return x if _has_dense_rows(x) else x.contiguous()

    def _hold(self, module: nn.Module, target: str) -> None:
        *path, leaf = target.split(".")
        owner: nn.Module = self
        source = module
        for name in path:
            source = cast(nn.Module, getattr(source, name))
            if name not in owner._modules:
                owner.add_module(name, nn.Module())
            owner = cast(nn.Module, owner._modules[name])
        held: Any = get_held(source, leaf)
        if isinstance(held, nn.Module):
            if leaf not in owner._modules:
                owner.add_module(leaf, held)
        elif isinstance(held, nn.Parameter):
            owner.register_parameter(leaf, held)
        elif isinstance(held, Tensor):
            is_buffer = leaf in source._buffers
            persistent = is_buffer and leaf not in source._non_persistent_buffers_set
            owner.register_buffer(leaf, held, persistent)
        else:
            setattr(owner, leaf, held)


def _has_dense_rows(x: Tensor) -> bool:
    """Whether the numbers of each row lie together, as they do when rows are cached and read."""
    expected = 1
    for stride, size in sorted(zip(x.stride()[1:], x.shape[1:], strict=True)):
        if size > 1:
            if stride != expected:
                return False
            expected *= size
    return len(x) <= 1 or x.stride(0) == expected


def build_layers(
    module: nn.Module, plans: Sequence[TracedPlan], changes_input: Sequence[bool]
) -> list[TracedLayer]:
    """The layers of `module`, which has the structure of the module that was planned."""
    constants = [name for plan in plans for name in plan.targets if name.startswith(CONSTANT)]
    if not all(hasattr(module, name) for name in constants):
        add_constants(module)
    return [
        TracedLayer(module, plan, changes)
        for plan, changes in zip(plans, changes_input, strict=True)
    ]


def _compile(layer: nn.Module, graph: fx.Graph) -> _Run:
    """The graph as a function of the layer that holds its pieces, and of its input."""
    return cast(_Run, type(fx.GraphModule(layer, graph)).forward)
