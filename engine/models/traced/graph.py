"""Trace a module to a graph, and record what each node returns for two sample inputs."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from engine.errors import ModelRejected

BATCHES = (2, 3)
"""Examples of the two sample inputs: what differs between them depends on the batch"""
MODES = (False, True)
"""Whether in training, in the order in which a module is traced: constants are named in it"""
CONSTANT = "_tensor_constant"
"""How the names begin that torch.fx gives to tensors that the forward pass makes of itself"""
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorShape:
    """A tensor's shape, in place of the tensor."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Sample:
    """What a node returned for the two sample inputs, with shapes in place of tensors."""

    values: tuple[Any, Any]

    @property
    def is_cut(self) -> bool:
        """Whether it is a tensor with a row for each example."""
        return all(
            isinstance(value, TensorShape) and value.shape[:1] == (batch,)
            for value, batch in zip(self.values, BATCHES, strict=True)
        )

    @property
    def follows_from_shapes(self) -> bool:
        """Whether it is constant, or a multiple of the number of examples, or a tuple of such."""
        return follows_from_shapes(*self.values)


def follows_from_shapes(first: Any, second: Any) -> bool:
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        return len(first) == len(second) and all(map(follows_from_shapes, first, second))
    if isinstance(first, bool | int | float | str | torch.dtype | torch.device | type(None)):
        return first == second or find_multiple(first, second) is not None
    return False


def find_multiple(first: Any, second: Any) -> int | None:
    """n if the integers are n times the numbers of examples."""
    if type(first) is not int or type(second) is not int or first % BATCHES[0]:
        return None
    factor = first // BATCHES[0]
    return factor if factor > 0 and second == factor * BATCHES[1] else None


class _Tracer(fx.Tracer):
    """Records what is computed of buffers, too, as their numbers may change."""

    proxy_buffer_attributes = True


def trace(module: nn.Module, is_training: bool) -> fx.Graph:
    """The graph of the module's forward pass in training or in evaluation.

    Raises ModelRejected with the line at which tracing fails, and if the forward pass draws random
    numbers while it is traced, as they would be drawn once.
    """
    before = torch.get_rng_state()
    with switched(module, is_training):
        try:
            graph = _Tracer().trace(module)
        except Exception as error:
            raise ModelRejected(
                f"the net cannot be traced: {tell(error)}. Its forward pass must not decide by the "
                "numbers of a tensor (`if`, `for`, `len`, `int`). Put such a piece into a function "
                "under torch.fx.wrap"
            ) from error
    if not torch.equal(before, torch.get_rng_state()):
        torch.set_rng_state(before)
        raise ModelRejected(
            "the forward pass draws random numbers whose count does not depend on its input; draw "
            "them with torch.rand_like, torch.randn_like or a dropout"
        )
    return graph


def add_constants(module: nn.Module) -> None:
    """Give a module the tensors that its forward pass makes without its input.

    They get the names that they got when a module of the same structure was planned.
    """
    for is_training in MODES:
        trace(module, is_training)


def sample(
    module: nn.Module, graph: fx.Graph, shape: Sequence[int], is_training: bool
) -> dict[fx.Node, Sample]:
    """What each node returns; the module's buffers keep their numbers.

    shape: of one example. Raises ModelRejected with the line at which the net fails.
    """
    with switched(module, is_training), kept_buffers(module):
        try:
            first, second = (_run(module, graph, (batch, *shape)) for batch in BATCHES)
        except Exception as error:
            raise ModelRejected(
                f"the net fails on {BATCHES[0]} examples of shape {list(shape)}: {tell(error)}"
            ) from error
    return {node: Sample((first[node], second[node])) for node in graph.nodes}


def _run(module: nn.Module, graph: fx.Graph, shape: Shape) -> Mapping[fx.Node, Any]:
    recorder = _Recorder(module, graph)
    with torch.no_grad():
        recorder.run(torch.zeros(shape, device=find_device(module)))
    return recorder.found


class _Recorder(fx.Interpreter):
    """Runs a graph and records what each node returned."""

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        super().__init__(module, graph=graph)
        self.found: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.found[n] = _without_numbers(value)
        return value


def _without_numbers(value: Any) -> Any:
    if isinstance(value, Tensor):
        return TensorShape(tuple(value.shape))
    if isinstance(value, tuple | list):
        return tuple(map(_without_numbers, value))
    return value


def find_device(module: nn.Module) -> torch.device:
    """The device of its first parameter."""
    return next((one.device for one in module.parameters()), torch.device("cpu"))


@contextmanager
def switched(module: nn.Module, is_training: bool) -> Iterator[None]:
    """The module in training or in evaluation; afterwards each submodule is as before."""
    before = {one: one.training for one in module.modules()}
    module.train(is_training)
    try:
        yield
    finally:
        for one, was_training in before.items():
            one.training = was_training


@contextmanager
def kept_buffers(module: nn.Module) -> Iterator[None]:
    """Afterwards the module's buffers have the numbers that they had."""
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in module.named_buffers():
                buffer.copy_(before[name])


def tell(error: BaseException) -> str:
    """The error's text, and the submodule or the last line outside torch that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if "/torch/" not in frame.filename and "engine/models/traced/" not in frame.filename
    ]
    place = f" ({own[-1].filename}, line {own[-1].lineno}, in {own[-1].name})" if own else ""
    text, _, traced = str(error).partition("\n\nWhile executing ")
    module = re.search(r"call_module\[target=([^\]]+)\]", traced)
    place += f" (in the submodule {module[1]})" if module else ""
    return f"{type(error).__name__}: {text[:300]}{place}"
