"""ImageNet weights of torchvision's VGG-11 for the eight convolutions (paper, Section 6)."""

from __future__ import annotations

import hashlib
import pickle
import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn

from engine.data.torchvision_import import import_torchvision
from engine.errors import WeightsUnavailable
from engine.models.net import LayeredNet
from engine.models.torchvision_catalog import architectures

VGG11_FILE = architectures()["vgg11"]["IMAGENET1K_V1"]
"""torchvision's file name; the part after the dash is a prefix of the sha256 of its bytes."""
_VGG11_CONVOLUTIONS = (0, 3, 6, 8, 11, 13, 16, 18)
"""Positions of the convolutions in torchvision's `features`."""


def load_vgg11_convolutions(
    net: LayeredNet, weights_dir: Path, allow_download: bool, file_name: str = VGG11_FILE
) -> dict[str, Tensor]:
    """Pretrained weights and biases of the net's convolutions, under the net's names.

    The file is read from `weights_dir`; if it is missing and `allow_download`, it is downloaded
    there from torchvision's address. Its bytes must match the hash in its name and, if it exists,
    the file `<file>.sha256`. Raises WeightsUnavailable.
    """
    path = weights_dir / file_name
    if not path.is_file():
        _download(path, allow_download, _vgg11_url())
    _check_sha256(path)
    return _match(net, _read_state(path), path)


def _vgg11_url() -> str:
    return str(import_torchvision("models").VGG11_Weights.IMAGENET1K_V1.url)


def load_architecture(
    architecture: str, weights: str, weights_dir: Path, allow_download: bool
) -> dict[str, Tensor]:
    """The tensors of torchvision's pretrained weights, under torchvision's names.

    The file is found, downloaded and checked as that of VGG-11. Raises WeightsUnavailable.
    """
    path = weights_dir / architectures()[architecture][weights]
    if not path.is_file():
        table: Any = import_torchvision("models").get_model_weights(architecture)
        _download(path, allow_download, table[weights].url)
    _check_sha256(path)
    return _read_state(path)


def _download(path: Path, allow_download: bool, url: str) -> None:
    advice = (
        f"put torchvision's file {path.name} into {path.parent}, or choose the initialisation "
        "'xavier' or a checkpoint"
    )
    if not allow_download:
        raise WeightsUnavailable(
            f"pretrained weights are not at {path} and downloads are switched off: {advice}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(
            url, str(path), hash_prefix=_hash_prefix(path), progress=False
        )
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsUnavailable(
            f"pretrained weights could not be downloaded to {path} ({error}): {advice}"
        ) from error


def _hash_prefix(path: Path) -> str:
    match = re.search(r"-([0-9a-f]{8,64})\.pth$", path.name)
    assert match is not None, f"{path.name} holds no hash"
    return match[1]


def _check_sha256(path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    beside = path.with_name(path.name + ".sha256")
    expected = beside.read_text().split()[0].lower() if beside.is_file() else _hash_prefix(path)
    if not found.startswith(_hash_prefix(path)) or not found.startswith(expected):
        raise WeightsUnavailable(
            f"{path} is damaged or not torchvision's file: its sha256 is {found}, expected "
            f"{expected}...; delete it and load it again"
        )


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsUnavailable(f"{path} is not a file of weights: {error}") from None
    assert isinstance(state, dict)
    return state


def _match(net: LayeredNet, state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    convolutions = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == len(_VGG11_CONVOLUTIONS), "pretrained weights are for VGG-11 alone"
    expected = dict(net.named_parameters())
    values: dict[str, Tensor] = {}
    for ours, position in zip(convolutions, _VGG11_CONVOLUTIONS, strict=True):
        for leaf in ("weight", "bias"):
            theirs = f"features.{position}.{leaf}"
            value, shape = state.get(theirs), tuple(expected[f"{ours}.{leaf}"].shape)
            if value is None or tuple(value.shape) != shape:
                found = "nothing" if value is None else str(tuple(value.shape))
                raise WeightsUnavailable(
                    f"{path} holds {found} as {theirs} where the model needs {shape}: pretrained "
                    "weights fit VGG-11 with width_multiplier 1 on images of 3 channels"
                )
            values[f"{ours}.{leaf}"] = value.float()
    return values
