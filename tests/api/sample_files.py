"""Small files to upload: a data set and a checkpoint."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from engine.data.spec import BUILTIN_DATASETS
from engine.models.layout import layout
from engine.models.spec import ReluNetSpec

BYTES_PER_NUMBER = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "BOOL": 1}
BYTES_PER_NUMBER |= {"F8_E4M3": 1, "C64": 8}
CHECKPOINT_WIDTH = 6
CHECKPOINT_SHAPES = {
    parameter.name: list(parameter.shape)
    for layer in layout(ReluNetSpec(width=CHECKPOINT_WIDTH), BUILTIN_DATASETS["digits"])
    for parameter in layer.parameters
}

FROM_GIVEN_WEIGHTS: dict[str, dict[str, Any]] = {"lottery": {"controls": ["random"]}}
"""By kind: fields with which it starts from weights that are not drawn"""


def make_npz(count: int = 20, **changes: Any) -> bytes:
    arrays = {
        "x_train": np.arange(count * 16, dtype=np.uint8).reshape(count, 4, 4),
        "y_train": np.arange(count) % 2,
        "x_test": np.zeros((6, 4, 4), np.uint8),
        "y_test": np.arange(6) % 2,
    }
    stream = io.BytesIO()
    np.savez(stream, **{**arrays, **changes})
    return stream.getvalue()


def make_checkpoint(shapes: dict[str, list[int]], dtype: str = "F32", **changes: Any) -> bytes:
    """A safetensors file of zeros, by the format's definition."""
    header: dict[str, Any] = {"__metadata__": {"made": "by hand"}}
    end = 0
    for name, shape in shapes.items():
        size = BYTES_PER_NUMBER[dtype]
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    for name, change in changes.items():
        header[name] = {**header.get(name, {}), **change}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def body_from_checkpoint(checkpoint: str, width: int = CHECKPOINT_WIDTH) -> dict[str, Any]:
    return {
        "spec": {
            "kind": "train",
            "epochs": 1,
            "model": {"name": "relu_net", "width": width},
            "init": {"name": "checkpoint", "checkpoint": checkpoint},
        }
    }
