"""A tape that records tensor operations like a CUDA graph, on any device.

A replay runs them on the memory that they were recorded on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operations that run inside it; `undo` restores the memory that they wrote."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: list[tuple[Callable[..., Any], Any, Any, Any]] = []
        self._before: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        named = (
            dict(zip((argument.name for argument in func._schema.arguments), args, strict=False))
            | kwargs
        )
        for argument in func._schema.arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                written = tree_leaves(named.get(argument.name))
                self._before += [
                    (tensor, tensor.clone()) for tensor in written if tensor is not None
                ]
        result = func(*args, **kwargs)
        self._calls.append((func, args, kwargs, result))
        return result

    def undo(self) -> None:
        for tensor, before in reversed(self._before):
            tensor.data.copy_(before)  # `data`, as autograd must not see the change
        self._before.clear()

    def replay(self) -> None:
        for func, args, kwargs, results in self._calls:
            for result, again in zip(
                tree_leaves(results), tree_leaves(func(*args, **kwargs)), strict=True
            ):
                if isinstance(result, Tensor) and result.data_ptr() != again.data_ptr():
                    result.data.copy_(again)


def record_on_tape(part: Callable[[], object]) -> Callable[[], object]:
    tape = Tape()
    with tape:
        part()
    tape.undo()
    return torch.no_grad()(tape.replay)
