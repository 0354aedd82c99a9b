"""Convert tensors to bytes and back, as safetensors; never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from engine.errors import WeightsUnavailable
from engine.models.weights_file import TensorInfo

DTYPES: Mapping[torch.dtype, str] = {
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""The format's names of types, in the order of their tensors in a file"""


def save_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """The tensors as one safetensors file.

    Equal tensors give equal bytes, for any device, memory layout and order of insertion. The bytes
    are those of the format's own library, which would hold each number twice meanwhile; it writes
    what has a rare type.
    """
    if any(tensor.dtype not in DTYPES for tensor in tensors.values()):
        return safetensors.torch.save(
            {name: one.detach().cpu().contiguous() for name, one in tensors.items()}
        )
    order = list(DTYPES)
    header: dict[str, Any] = {}
    parts: list[bytes | memoryview] = []
    start = 0
    for name in sorted(tensors, key=lambda one: (order.index(tensors[one].dtype), one)):
        tensor = tensors[name].detach().cpu().contiguous()
        stop = start + tensor.nbytes
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, stop],
        }
        parts.append(tensor.reshape(-1).view(torch.uint8).numpy().data)
        start = stop
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))


def load_tensors(data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU. Raises WeightsUnavailable for other bytes."""
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise WeightsUnavailable(f"not a readable safetensors file: {error}") from None
    return tensors


def select_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def describe_tensors(tensors: Mapping[str, Tensor]) -> dict[str, TensorInfo]:
    """The tensors without their numbers, by name."""
    return {
        name: TensorInfo(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in tensors.items()
    }
