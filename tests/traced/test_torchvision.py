"""Torchvision's architectures: layered, fitted to data, their bits, pretrained weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from engine.data.torchvision_import import import_torchvision
from engine.errors import ModelRejected, WeightsUnavailable
from engine.models import pretrained
from engine.models.build import build_model, initialise
from engine.models.layout import layout
from engine.models.local_host import LocalHost
from engine.models.spec import InitSpec, TorchInitSpec, TorchvisionSpec, XavierSpec
from engine.models.torchvision_catalog import architectures
from engine.models.torchvision_nets import build_torchvision
from engine.models.traced.build import describe_net
from ops.torchvision_catalog import PATH, describe_catalog

DIGITS = BUILTIN_DATASETS["digits"]
IMAGENET = DatasetInfo("imagenet", "ImageNet", (3, 224, 224), 1000, 2, 2, "registered")


FAMILIES = {
    "alexnet": 8,
    "vgg11": 11,
    "vgg19_bn": 19,
    "resnet18": 10,
    "resnet50": 18,
    "resnext50_32x4d": 18,
    "densenet121": 9,
    "squeezenet1_1": 18,
    "googlenet": 13,
    "shufflenet_v2_x0_5": 19,
    "mnasnet0_5": 33,
    "mobilenet_v2": 33,
    "mobilenet_v3_small": 28,
    "efficientnet_b0": 39,
    "regnet_x_400mf": 24,
    "convnext_tiny": 23,
    "swin_t": 29,
    "vit_b_16": 28,
}
"""One or two of each family, with the number of layers that are found"""
SMALL = {
    *("resnet18", "convnext_tiny", "shufflenet_v2_x0_5", "mobilenet_v3_small", "squeezenet1_1"),
}
"""Computed in every test run; the others are slow"""


def test_the_catalog_is_that_of_the_installed_torchvision() -> None:
    assert PATH.read_text(encoding="utf-8") == describe_catalog(), (
        "write it anew: python -m ops.torchvision_catalog"
    )


@pytest.mark.parametrize(("name", "count"), FAMILIES.items())
def test_layers_and_parameters_of_each_family(name: str, count: int) -> None:
    layers = describe_net(TorchvisionSpec(architecture=name), IMAGENET).layers
    assert len(layers) == count
    models: Any = import_torchvision("models")
    published = {one.meta["num_params"] for one in models.get_model_weights(name)}
    assert sum(layer.num_parameters for layer in layers) in published


@pytest.mark.slow
@pytest.mark.parametrize("name", architectures())
def test_every_architecture_has_torchvision_s_parameters(name: str) -> None:
    side = {"inception_v3": 299, "vit_h_14": 518}.get(name, 224)
    info = DatasetInfo("x", "x", (3, side, side), 1000, 2, 2, "registered")
    layers = describe_net(TorchvisionSpec(architecture=name), info).layers
    found = sum(layer.num_parameters for layer in layers)
    models: Any = import_torchvision("models")
    # Weights for larger images have more parameters: a ViT has one for each place.
    published = {one.meta["num_params"] for one in models.get_model_weights(name)}
    auxiliary = 3_326_696 if name == "inception_v3" else 0  # its auxiliary head is left out
    assert found + auxiliary in published
    assert len(layers) >= 8


def build(spec: TorchvisionSpec, info: DatasetInfo, init: InitSpec, **weights: Any) -> Any:
    net = build_model(spec, info)
    initialise(
        net,
        init,
        3,
        read_checkpoint=lambda _: b"",
        weights_dir=weights.get("weights_dir", Path()),
        allow_download=False,
    )
    return net


SIDES = {
    "inception_v3": 299,
    **dict.fromkeys(("maxvit_t", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"), 224),
}
"""Architectures that take no small images"""


def every_architecture() -> list[Any]:
    return [
        name if name in SMALL else pytest.param(name, marks=pytest.mark.slow)
        for name in architectures()
    ]


def fitting_data(name: str) -> DatasetInfo:
    side = SIDES.get(name)
    if side is None:
        return DIGITS
    return DatasetInfo("large", "Large images", (3, side, side), 10, 2, 2, "registered")


@pytest.mark.parametrize("name", every_architecture())
def test_the_layers_have_the_module_s_bits_and_its_gradients_on_the_trained_layers(
    name: str,
) -> None:
    info = fitting_data(name)
    spec = TorchvisionSpec(architecture=name, stem="imagenet" if name in SIDES else "small")
    net = build(spec, info, TorchInitSpec())
    module = build_torchvision(spec, info)
    ours = {name.split(".", 2)[2]: tensor for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        for key, tensor in module.state_dict().items():
            tensor.copy_(ours[key])
    y = torch.tensor([1, 2] if name in SIDES else [1, 2, 3, 4])
    x = torch.randn(len(y), *info.shape)
    for is_training in (False, True):
        module.train(is_training), net.train(is_training)
        torch.manual_seed(1)
        whole = module(x)
        torch.manual_seed(1)
        assert torch.equal(whole, net(x))
    parameters = list(module.named_parameters())
    torch.manual_seed(1)
    loss = functional.cross_entropy(module(x), y)
    expected = dict(
        zip(
            (key for key, _ in parameters),
            torch.autograd.grad(loss, [parameter for _, parameter in parameters]),
            strict=True,
        )
    )
    lowest = len(net.layers) - 2
    torch.manual_seed(1)
    with torch.no_grad():
        h = net(x, 0, lowest)
    trained = [
        (f"layers.{index}.{key}", parameter)
        for index in range(lowest, len(net.layers))
        for key, parameter in net.layers[index].named_parameters()
    ]
    loss = functional.cross_entropy(net(h, lowest), y)
    gradients = torch.autograd.grad(loss, [parameter for _, parameter in trained])
    for (key, _), gradient in zip(trained, gradients, strict=True):
        assert torch.equal(gradient, expected[key.split(".", 2)[2]]), key
    with torch.no_grad():  # one step
        for (_, parameter), gradient in zip(trained, gradients, strict=True):
            parameter -= 0.01 * gradient
    assert net(x).isfinite().all()


def test_a_stem_for_small_images_keeps_the_side() -> None:
    layers = {
        stem: describe_net(TorchvisionSpec(architecture="resnet18", stem=stem), DIGITS).layers
        for stem in ("imagenet", "small")
    }
    assert layers["small"][0].output_shape == (64, 28, 28)
    assert layers["small"][0].parameters[0].shape == (64, 1, 3, 3)
    assert layers["imagenet"][0].output_shape == (64, 7, 7)
    assert layers["imagenet"][0].parameters[0].shape == (64, 1, 7, 7)


def test_images_that_an_architecture_cannot_take_are_refused_with_the_reason(
    host: LocalHost,
) -> None:
    for name, reason in (
        ("vit_b_16", "patches of 16 x 16, but the images of 'digits' are 28 x 28"),
        ("maxvit_t", "not divisible by partition size"),
    ):
        with pytest.raises(ModelRejected, match=reason):
            layout(TorchvisionSpec(architecture=name), DIGITS)
    with pytest.raises(ModelRejected, match=r"in the submodule Mixed_"):
        layout(TorchvisionSpec(architecture="inception_v3", stem="small"), DIGITS)


@pytest.fixture
def weights_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of ResNet-18's shape, under a name with the hash of its bytes."""
    module = build_torchvision(TorchvisionSpec(architecture="resnet18"), IMAGENET)
    state = {
        name: torch.full_like(tensor, index)
        for index, (name, tensor) in enumerate(module.state_dict().items())
    }
    draft = tmp_path / "draft.pth"
    torch.save(state, draft)
    name = f"resnet18-{hashlib.sha256(draft.read_bytes()).hexdigest()[:8]}.pth"
    draft.rename(tmp_path / name)
    monkeypatch.setattr(pretrained, "architectures", lambda: {"resnet18": {"IMAGENET1K_V1": name}})
    return tmp_path / name


def test_pretrained_weights_replace_all_but_head_and_changed_stem(weights_file: Path) -> None:
    plain = TorchvisionSpec(architecture="resnet18")
    given = TorchvisionSpec(architecture="resnet18", weights="IMAGENET1K_V1")
    drawn = build(plain, DIGITS, XavierSpec()).state_dict()
    for stem in ("imagenet", "small"):
        spec = given.model_copy(update={"stem": stem})
        found = build(spec, DIGITS, XavierSpec(), weights_dir=weights_file.parent).state_dict()
        head = "layers.9.fc.weight"
        assert torch.equal(found[head], drawn[head])
        first = found["layers.0.conv1.weight"]
        assert (first.unique().tolist() == [0.0]) == (stem == "imagenet")
        assert found["layers.1.layer1.0.conv1.weight"].unique().tolist() == [6.0]
        assert found["layers.0.bn1.running_mean"].unique().tolist() == [3.0]


def test_a_net_for_grey_images_computes_what_it_does_of_three_equal_channels(
    weights_file: Path,
) -> None:
    spec = TorchvisionSpec(architecture="resnet18", weights="IMAGENET1K_V1")
    state = torch.load(weights_file, weights_only=True)
    state["conv1.weight"] = torch.arange(64 * 3 * 49.0).reshape(64, 3, 7, 7)
    torch.save(state, weights_file)
    digest = hashlib.sha256(weights_file.read_bytes()).hexdigest()[:8]
    name = f"resnet18-{digest}.pth"
    weights_file.rename(weights_file.with_name(name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "architectures", lambda: {"resnet18": {"IMAGENET1K_V1": name}})
        net = build(spec, DIGITS, XavierSpec(), weights_dir=weights_file.parent)
    expected = state["conv1.weight"].sum(dim=1, keepdim=True)
    assert torch.equal(net.state_dict()["layers.0.conv1.weight"], expected)


def test_missing_weights_are_told_with_the_file_s_name(tmp_path: Path) -> None:
    spec = TorchvisionSpec(architecture="resnet18", weights="IMAGENET1K_V1")
    with pytest.raises(WeightsUnavailable, match=r"resnet18-f37072fd.pth"):
        build(spec, DIGITS, XavierSpec(), weights_dir=tmp_path)
