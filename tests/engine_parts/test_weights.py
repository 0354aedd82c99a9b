"""Tensors as safetensors bytes."""

from __future__ import annotations

import math

import pytest
import safetensors.torch
import torch

from engine.errors import WeightsUnavailable
from engine.models.weights import DTYPES, load_tensors, save_tensors


def test_tensors_survive_a_round_trip_and_equal_tensors_give_equal_bytes() -> None:
    flat = torch.arange(12.0)
    tensors = {"b": flat[:6].view(2, 3), "a": flat[6:].view(3, 2).t(), "n": torch.tensor(3)}
    data = save_tensors(tensors)
    back = load_tensors(data)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert save_tensors(dict(reversed(back.items()))) == data


def test_bytes_that_are_not_safetensors_are_rejected() -> None:
    for data in (b"", b"rubbish that is long enough", save_tensors({"a": torch.ones(3)})[:-2]):
        with pytest.raises(WeightsUnavailable, match="safetensors"):
            load_tensors(data)


def test_a_file_has_the_bytes_of_the_format_s_own_library() -> None:
    tensors = {
        f"{name}.{place}": torch.arange(math.prod(shape)).to(dtype).reshape(shape)
        for place, dtype in enumerate(DTYPES)
        for name, shape in (("weight", (2, 3)), ("count", ()), ('"\\é\n', (0, 4)))
    }
    assert save_tensors(tensors) == safetensors.torch.save(tensors)
    assert save_tensors({}) == safetensors.torch.save({})
    rows = torch.arange(12.0).reshape(3, 4)
    views = {"transposed": rows.t(), "row": rows[1]}
    clones = {name: view.contiguous().clone() for name, view in views.items()}
    assert save_tensors(views) == safetensors.torch.save(clones)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e5m2])
def test_tensors_of_rare_types_are_written_by_the_library(dtype: torch.dtype) -> None:
    tensors = {"rare": torch.zeros(6, dtype=dtype), "usual": torch.arange(3.0)}
    found = load_tensors(save_tensors(tensors))
    assert {name: one.dtype for name, one in found.items()} == {
        "rare": dtype,
        "usual": torch.float32,
    }
    assert torch.equal(found["usual"], tensors["usual"])
