"""Cut a graph where one tensor carries all, into pieces from one tensor to one tensor.

A *cut* is a tensor through which every path from the input to the output goes: an articulation
point of the traced graph.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from engine.errors import ModelRejected
from engine.models.traced.graph import Sample, find_multiple, sample, trace

_NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
_NORM_FUNCTIONS = frozenset(
    {
        functional.layer_norm,
        functional.batch_norm,
        functional.group_norm,
        functional.instance_norm,
        functional.rms_norm,
    }
)


@dataclass(frozen=True, slots=True)
class Piece:
    """What lies between two cuts, in one mode."""

    end: str
    """Name of the node whose tensor is the upper cut"""
    graph: fx.Graph
    targets: tuple[str, ...]
    """Names of the submodules, parameters and buffers that it uses, in the order of use"""
    normalises_only: bool
    """Whether every parameter of it belongs to a normalisation"""


def find_pieces(module: nn.Module, shape: Sequence[int], is_training: bool) -> list[Piece]:
    """The pieces of the module in training or in evaluation, bottom first.

    shape: of one example. Raises ModelRejected if the module cannot be traced or run, or does not
    return one tensor with a row for each example.
    """
    graph = trace(module, is_training)
    samples = sample(module, graph, shape, is_training)
    nodes = list(graph.nodes)
    sources = [node for node in nodes if node.op == "placeholder" and node.users]
    if len(sources) != 1:
        raise ModelRejected(
            f"forward uses {len(sources)} inputs; it must use one: the examples of a batch"
        )
    result = nodes[-1].args[0]
    if not isinstance(result, fx.Node) or not samples[result].is_cut:
        raise ModelRejected(
            f"forward returns {_describe(samples[nodes[-1]].values[0])} for 2 examples; it must "
            "return one tensor [examples, classes]"
        )
    dependent = _find_dependent(sources[0])
    ends = list(_find_cuts(nodes, dependent, samples, result))
    return list(_extract(nodes, sources[0], dependent, samples, ends, module))


def _describe(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" if shape is None else f"a tensor {list(shape)}"


def _find_dependent(source: fx.Node) -> set[fx.Node]:
    """The nodes that depend on the input."""
    found, waiting = {source}, [source]
    while waiting:
        for user in waiting.pop().users:
            if user not in found:
                found.add(user)
                waiting.append(user)
    return found


def _find_cuts(
    nodes: Sequence[fx.Node],
    dependent: set[fx.Node],
    samples: Mapping[fx.Node, Sample],
    result: fx.Node,
) -> Iterator[fx.Node]:
    """The nodes after which one tensor alone is needed, in their order; the last is the result.

    What follows from the shapes is not counted: a piece computes it from its own input.
    """
    position = {node: index for index, node in enumerate(nodes)}
    live: dict[fx.Node, int] = {}
    for index, node in enumerate(nodes):
        live = {one: last for one, last in live.items() if last > index}
        if node in dependent and not samples[node].follows_from_shapes:
            users = [user for user in node.users if not samples[user].follows_from_shapes]
            last_use = max((position[user] for user in users), default=index)
            if last_use > index:
                live[node] = last_use
        if node is result:
            yield node
            return
        if set(live) == {node} and samples[node].is_cut and node.op != "placeholder":
            yield node


def _extract(
    nodes: Sequence[fx.Node],
    source: fx.Node,
    dependent: set[fx.Node],
    samples: Mapping[fx.Node, Sample],
    ends: Sequence[fx.Node],
    module: nn.Module,
) -> Iterator[Piece]:
    start = source
    rest = iter([node for node in nodes if node in dependent and node is not source])
    for end in ends:
        copier = _Copier(start, samples, dependent)
        for node in rest:
            copier.copy(node)
            if node is end:
                break
        graph = copier.finish(end)
        targets = tuple(
            dict.fromkeys(
                str(node.target) for node in graph.nodes if node.op in ("call_module", "get_attr")
            )
        )
        yield Piece(end.name, graph, targets, _normalises_only(graph, module))
        start = end


class _Copier:
    """Copies the nodes of one piece into a graph of their own, in their order."""

    def __init__(
        self, start: fx.Node, samples: Mapping[fx.Node, Sample], dependent: set[fx.Node]
    ) -> None:
        self._samples, self._dependent = samples, dependent
        self._graph = fx.Graph()
        self._copies: dict[fx.Node, Any] = {start: self._graph.placeholder("x")}
        self._num_examples: fx.Node | None = None

    def copy(self, node: fx.Node) -> None:
        """Copy a node; assertions about shapes are left out, as they hold.

        What follows from the shapes is copied where it is used.
        """
        if node.target is not torch._assert and not self._samples[node].follows_from_shapes:
            self._copies[node] = self._graph.node_copy(node, self._find)

    def _find(self, node: fx.Node) -> Any:
        """The copy of an argument; what does not depend on the input is copied at its first use."""
        if node not in self._copies:
            self._copies[node] = (
                self._compute(*self._samples[node].values)
                if node in self._dependent
                else self._graph.node_copy(node, self._find)
            )
        return self._copies[node]

    def _compute(self, first: Any, second: Any) -> Any:
        """A value that follows from the shapes: a constant, or by the number of examples."""
        if isinstance(first, tuple | list):
            return tuple(map(self._compute, first, second))
        if first == second:
            return first
        factor = find_multiple(first, second)
        assert factor is not None, "a piece needs nothing else from those below"
        if self._num_examples is None:
            source = next(iter(self._graph.nodes))
            with self._graph.inserting_after(source):
                self._num_examples = self._graph.call_method("size", (source, 0))
        if factor == 1:
            return self._num_examples
        return self._graph.call_function(operator.mul, (self._num_examples, factor))

    def finish(self, end: fx.Node) -> fx.Graph:
        self._graph.output(self._copies[end])
        self._graph.lint()
        return self._graph


def _normalises_only(graph: fx.Graph, module: nn.Module) -> bool:
    for node in graph.nodes:
        if node.op == "call_module":
            held = module.get_submodule(str(node.target))
            if any(True for _ in held.parameters()) and not isinstance(held, _NORMS):
                return False
        elif (
            node.op == "get_attr"
            and isinstance(get_held(module, str(node.target)), nn.Parameter)
            and not all(user.target in _NORM_FUNCTIONS for user in node.users)
        ):
            return False
    return True


def get_held(module: nn.Module, target: str) -> Any:
    """The submodule, parameter or buffer of that name."""
    owner, _, leaf = target.rpartition(".")
    return getattr(module.get_submodule(owner), leaf)
