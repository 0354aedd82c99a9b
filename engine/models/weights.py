"""Convert tensors to bytes and back, as safetensors; never pickle."""

from __future__ import annotations

from collections.abc import Mapping

import safetensors
import safetensors.torch
from torch import Tensor

from engine.errors import WeightsUnavailable
from engine.models.weights_file import TensorInfo


def save_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """The tensors as one safetensors file.

    Equal tensors give equal bytes, for any device, memory layout and order of insertion.
    """
    # cloned, as safetensors rejects tensors that are views of one storage
    copies = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    data: bytes = safetensors.torch.save(copies)
    return data


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
