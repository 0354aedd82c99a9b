"""Pretrained weights of torchvision's VGG-11."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.errors import WeightsUnavailable
from engine.models.build import build_model, initialise
from engine.models.net import LayeredNet
from engine.models.pretrained import load_vgg11_convolutions
from engine.models.spec import (
    PretrainedSpec,
    Vgg5Spec,
    Vgg11Spec,
    XavierSpec,
    validate_model,
)
from tests.engine_parts.nets import CIFAR10, DIGITS, build, reject_checkpoint


def _small_vgg11_file(folder: Path, net: LayeredNet) -> Path:
    state: dict[str, Tensor] = {}
    positions = (0, 3, 6, 8, 11, 13, 16, 18)
    for layer, position in enumerate(positions):
        for leaf in ("weight", "bias"):
            shape = dict(net.named_parameters())[f"layers.{layer}.conv.{leaf}"].shape
            state[f"features.{position}.{leaf}"] = torch.full(shape, float(position))
    draft = folder / "draft.pth"
    torch.save(state, draft)
    digest = hashlib.sha256(draft.read_bytes()).hexdigest()
    return draft.rename(folder / f"vgg11-{digest[:8]}.pth")


def test_pretrained_weights_fill_exactly_the_convolutions(tmp_path: Path) -> None:
    net = build(Vgg11Spec(width_multiplier=0.05), CIFAR10)
    path = _small_vgg11_file(tmp_path, net)
    values = load_vgg11_convolutions(net, tmp_path, False, path.name)
    convolutions = [name for name, _ in net.named_parameters() if ".conv." in name]
    assert list(values) == convolutions
    assert len(convolutions) == 16
    assert set(values["layers.7.conv.bias"].tolist()) == {18.0}


def test_a_damaged_pretrained_file_is_rejected(tmp_path: Path) -> None:
    net = build(Vgg11Spec(width_multiplier=0.05), CIFAR10)
    path = _small_vgg11_file(tmp_path, net)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    beside = path.with_name(path.name + ".sha256")
    beside.write_text(digest + "  " + path.name)
    load_vgg11_convolutions(net, tmp_path, False, path.name)
    beside.write_text(digest[:-1] + ("0" if digest[-1] != "0" else "1"))
    with pytest.raises(WeightsUnavailable, match="sha256"):
        load_vgg11_convolutions(net, tmp_path, False, path.name)
    beside.unlink()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsUnavailable, match="sha256"):
        load_vgg11_convolutions(net, tmp_path, False, path.name)


def test_pretrained_weights_of_another_width_are_rejected(tmp_path: Path) -> None:
    path = _small_vgg11_file(tmp_path, build(Vgg11Spec(width_multiplier=0.05), CIFAR10))
    with pytest.raises(WeightsUnavailable, match="width_multiplier 1"):
        load_vgg11_convolutions(
            build(Vgg11Spec(width_multiplier=0.1), CIFAR10), tmp_path, False, path.name
        )


def test_missing_pretrained_weights_say_what_to_do(tmp_path: Path) -> None:
    net = build_model(Vgg11Spec(), CIFAR10)
    with pytest.raises(
        WeightsUnavailable, match=r"vgg11-8a719046\.pth.*downloads are switched off.*xavier"
    ):
        initialise(
            net,
            PretrainedSpec(),
            0,
            read_checkpoint=reject_checkpoint,
            weights_dir=tmp_path,
            allow_download=False,
        )


def test_pretrained_weights_that_cannot_fit_are_rejected_by_validation() -> None:
    assert validate_model(Vgg11Spec(), PretrainedSpec(), CIFAR10) == []
    assert validate_model(Vgg5Spec(), XavierSpec(), DIGITS) == []
    (error,) = validate_model(Vgg5Spec(), PretrainedSpec(), DIGITS)
    assert error.pointer == "#/spec/init"
    assert "'vgg5'" in error.detail
    assert "1 channel" in error.detail
    (error,) = validate_model(Vgg11Spec(width_multiplier=0.5), PretrainedSpec(), CIFAR10)
    assert "width_multiplier is 0.5" in error.detail
