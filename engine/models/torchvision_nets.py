"""Torchvision's classification architectures, fitted to a data set's images and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from engine.data.spec import DatasetInfo
from engine.data.torchvision_import import import_torchvision
from engine.errors import ModelRejected
from engine.models.spec import TorchvisionSpec

_SHRINK = 4
"""By how much a small stem's patches are narrower"""


def build_torchvision(spec: TorchvisionSpec, info: DatasetInfo) -> nn.Module:
    """The module with torchvision's own start weights, on the present default device.

    Its head has a score for each class, its first convolution the images' channels. Auxiliary
    heads are left out. Raises ModelRejected for images that the architecture cannot take.
    """
    if len(info.shape) != 3:
        raise ModelRejected(f"{spec.architecture} takes images, not features {list(info.shape)}")
    _, height, width = info.shape
    models: Any = import_torchvision("models")
    options: dict[str, Any] = {"num_classes": info.num_classes}
    if spec.architecture in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    if spec.architecture.startswith("vit_"):
        module = _build_vit(models, spec, info)
        _fit_stem(module, info, is_small=False)
        return module
    if spec.architecture == "maxvit_t":
        options["input_size"] = (height, width)
    try:
        module = cast(nn.Module, models.get_model(spec.architecture, weights=None, **options))
    except ValueError as error:
        raise ModelRejected(f"{spec.architecture} on images {height} x {width}: {error}") from None
    _fit_stem(module, info, is_small=spec.stem == "small")
    return module


def _build_vit(models: Any, spec: TorchvisionSpec, info: DatasetInfo) -> nn.Module:
    """A vision transformer for images of any side; torchvision's functions fix the patches."""
    with torch.device("meta"):
        like = models.get_model(spec.architecture, weights=None)
    patch = max(1, like.patch_size // _SHRINK) if spec.stem == "small" else like.patch_size
    _, height, width = info.shape
    if height != width or height % patch:
        advice = "" if spec.stem == "small" else ", or set stem to 'small' for patches of a quarter"
        raise ModelRejected(
            f"{spec.architecture} cuts square images into patches of {patch} x {patch}, but the "
            f"images of {info.name!r} are {height} x {width}; choose other images{advice}"
        )
    made: nn.Module = models.VisionTransformer(
        image_size=height,
        patch_size=patch,
        num_layers=len(like.encoder.layers),
        num_heads=like.encoder.layers[0].num_heads,
        hidden_dim=like.hidden_dim,
        mlp_dim=like.mlp_dim,
        num_classes=info.num_classes,
    )
    return made


def _fit_stem(module: nn.Module, info: DatasetInfo, *, is_small: bool) -> None:
    """Fit the first convolution to the images' channels, and make the stem small if wanted."""
    spatial = [
        (name, one)
        for name, one in module.named_modules()
        if isinstance(one, nn.Conv2d | nn.MaxPool2d)
    ]
    name, first = spatial[0]
    assert isinstance(first, nn.Conv2d), "every architecture starts with a convolution"
    kernel, stride, padding = map(_first, (first.kernel_size, first.stride, first.padding))
    if is_small and stride > 1:
        if kernel == stride:
            kernel = stride = max(1, kernel // _SHRINK)
        else:
            kernel, stride, padding = 3, 1, 1
        following, pool = spatial[1] if len(spatial) > 1 else ("", first)
        if isinstance(pool, nn.MaxPool2d):
            _replace(module, following, nn.Identity())
    elif is_small:
        _leave_out_pools(module, spatial, min(info.shape[1:]))
    fitted = nn.Conv2d(
        info.shape[0],
        first.out_channels,
        kernel,
        stride=stride,
        padding=padding,
        bias=first.bias is not None,
    )
    if fitted.weight.shape != first.weight.shape or stride != _first(first.stride):
        _replace(module, name, fitted)


def _leave_out_pools(
    module: nn.Module, spatial: Sequence[tuple[str, nn.Module]], side: int
) -> None:
    """Leave out the last pools of a VGG that would halve a side of 1."""
    pools = [name for name, one in spatial if isinstance(one, nn.MaxPool2d)]
    for name in pools[side.bit_length() - 1 :]:
        _replace(module, name, nn.Identity())


def _replace(module: nn.Module, name: str, by: nn.Module) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(owner), leaf, by)


def _first(size: Any) -> int:
    """Of a square size, such as a kernel's."""
    return int(size[0] if isinstance(size, tuple) else size)
