"""Whether given tensors can be the start weights of a net. Imports no torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from engine.data.spec import DatasetInfo
from engine.models.layout import layout
from engine.models.spec import ModelSpec
from engine.models.weights_file import TensorInfo

COUNTER = "num_batches_tracked"
"""The batches that batch normalisation has seen: the only integer among the tensors of a net"""
CAST = {
    "bfloat16": "exactly",
    "float16": "exactly",
    "float64": "rounded to 24 significant bits",
}
"""How numbers of other types than float32 become float32"""
_SHOWN = 5
_OURS = re.compile(r"layers\.\d+\.")
"""The beginning of every tensor's name, in every model"""


def expected_tensors(model: ModelSpec, info: DatasetInfo) -> dict[str, TensorInfo]:
    """The tensors of the net by name: parameters and buffers."""
    return {
        tensor.name: TensorInfo(tensor.dtype, tensor.shape)
        for layer in layout(model, info)
        for tensor in (*layer.parameters, *layer.buffers)
    }


def list_misfits(
    tensors: Mapping[str, TensorInfo], expected: Mapping[str, TensorInfo]
) -> list[str]:
    """What is wrong with each tensor, sorted: missing, not in the model, shape or type."""
    problems = [f"{name} is missing" for name in expected.keys() - tensors.keys()]
    problems += [f"{name} is not in the model" for name in tensors.keys() - expected.keys()]
    problems += [
        f"{name} is {tensors[name]}, the model's is {expected[name]}"
        for name in expected.keys() & tensors.keys()
        if tensors[name].shape != expected[name].shape
        or not _can_become(tensors[name].dtype, expected[name].dtype)
    ]
    return sorted(problems)


def _can_become(dtype: str, expected: str) -> bool:
    return dtype == expected or (expected == "float32" and dtype in CAST)


def describe_misfits(problems: list[str], names: Iterable[str]) -> str:
    """The first problems in words, and how to strip a prefix that the names have in common."""
    shown = "; ".join(problems[:_SHOWN])
    more = f"; and {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
    prefix = common_prefix(names)
    hint = f". {explain_prefix(prefix)}" if prefix else ""
    return f"{shown}{more}{hint}"


def list_casts(tensors: Mapping[str, TensorInfo]) -> list[str]:
    """A note for each type of numbers that is converted to float32."""
    counts = Counter(tensor.dtype for tensor in tensors.values())
    return [
        f"{counts[dtype]:,} of {len(tensors):,} tensors are {dtype}; training starts from them as "
        f"float32, {how}"
        for dtype, how in CAST.items()
        if counts[dtype]
    ]


def find_unusable(tensors: Mapping[str, TensorInfo]) -> str | None:
    """Why no model can start from the tensors, whatever its shape; None if one may."""
    for name, tensor in tensors.items():
        is_counter = name.rpartition(".")[2] == COUNTER
        if tensor.dtype == "int64" and not is_counter:
            return (
                f"the tensor {name!r} is int64; weights are float32, or float16, bfloat16 or "
                f"float64, which are converted"
            )
        if tensor.dtype != "int64" and is_counter:
            return f"the tensor {name!r} is {tensor.dtype}; it counts batches and must be int64"
    if any(_OURS.match(name) for name in tensors):
        return None
    first = ", ".join(list(tensors)[:3])
    prefix = common_prefix(tensors)
    hint = explain_prefix(prefix) if prefix else "Rename them as GET /models lists the layers"
    return f"no tensor is named as in a model ('layers.0. ...'); the first are {first}. {hint}"


def common_prefix(names: Iterable[str]) -> str:
    """What stands before `layers.0.` and the like in every name, such as `module.`; else empty."""
    places = [(name, _OURS.search(name)) for name in names]
    found = {None if place is None else name[: place.start()] for name, place in places}
    return (found.pop() or "") if len(found) == 1 else ""


def explain_prefix(prefix: str) -> str:
    """How to strip the prefix."""
    return (
        f"All names begin with {prefix!r}: strip it with "
        f"{{name.removeprefix({prefix!r}): tensor for name, tensor in tensors.items()}}"
    )
