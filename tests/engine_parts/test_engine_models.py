"""Models: the paper's parameter counts, layouts by arithmetic, partial runs, initial weights."""

from __future__ import annotations

import hashlib
from math import prod, sqrt
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from engine.errors import WeightsUnavailable
from engine.models.build import build_model, initialise
from engine.models.layout import layout, num_parameters
from engine.models.net import LayeredNet
from engine.models.pretrained import load_vgg11_convolutions
from engine.models.spec import (
    CheckpointSpec,
    ConvNetSpec,
    InitSpec,
    ModelSpec,
    PretrainedSpec,
    ReluNetSpec,
    Resnet18Spec,
    Vgg5Spec,
    Vgg11Spec,
    XavierSpec,
    validate_model,
)
from engine.models.weights import load_tensors, save_tensors

DIGITS = BUILTIN_DATASETS["digits"]
CIFAR10 = BUILTIN_DATASETS["cifar10"]
ODD = DatasetInfo("odd", "odd", (2, 9, 13), 7, 70, 14, "registered")
TINY = DatasetInfo("tiny", "tiny", (1, 1, 1), 3, 30, 6, "registered")

SPECS: list[tuple[ModelSpec, DatasetInfo]] = [
    (model, info)
    for model in (
        ReluNetSpec(),
        ReluNetSpec(width=7, depth=4),
        ConvNetSpec(width=5, depth=1),
        ConvNetSpec(width=3, depth=8),
        Vgg5Spec(width_multiplier=0.25),
        Vgg5Spec(width_multiplier=0.1, second_kernel=3, batch_norm=True),
        Vgg11Spec(width_multiplier=0.0625),
        Resnet18Spec(width_multiplier=0.125),
        Resnet18Spec(width_multiplier=0.01),
    )
    for info in (DIGITS, CIFAR10, ODD, TINY)
]


def _no_checkpoint(reference: str) -> bytes:
    raise AssertionError(reference)


def build(
    model: ModelSpec, info: DatasetInfo, init: InitSpec | None = None, seed: int = 0
) -> LayeredNet:
    net = build_model(model, info)
    initialise(
        net,
        init or XavierSpec(),
        seed,
        read_checkpoint=_no_checkpoint,
        weights_dir=Path("nowhere"),
        allow_download=False,
    )
    return net


@pytest.mark.parametrize(
    ("model", "info", "expected"),
    [
        (ReluNetSpec(width=100_000, depth=1), DIGITS, 79_500_010),
        (Vgg5Spec(), DIGITS, 1_380_298),
        (Vgg5Spec(second_kernel=3, batch_norm=True), DIGITS, 3_646_154),
        (Vgg11Spec(), CIFAR10, 9_750_922),
        (Resnet18Spec(), CIFAR10, 11_173_962),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_parameter_counts_are_the_papers(
    model: ModelSpec, info: DatasetInfo, expected: int
) -> None:
    assert num_parameters(model, info) == expected


@pytest.mark.parametrize(
    ("model", "info", "layers"),
    [
        (ReluNetSpec(depth=4), DIGITS, 5),
        (ConvNetSpec(depth=2), DIGITS, 3),
        (Vgg5Spec(), DIGITS, 5),
        (Vgg11Spec(), CIFAR10, 11),
        (Resnet18Spec(), CIFAR10, 10),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_layers_are_counted_as_the_paper_does(
    model: ModelSpec, info: DatasetInfo, layers: int
) -> None:
    assert len(layout(model, info)) == layers
    assert len(build_model(model, info).layers) == layers


@pytest.mark.parametrize(("model", "info"), SPECS)
def test_the_layout_equals_the_built_net(model: ModelSpec, info: DatasetInfo) -> None:
    net, layers = build(model, info), layout(model, info)
    built = [(name, tuple(parameter.shape)) for name, parameter in net.named_parameters()]
    assert [(p.name, p.shape) for layer in layers for p in layer.parameters] == built
    assert num_parameters(model, info) == sum(prod(shape) for _, shape in built)
    statistics = {
        name: tuple(b.shape)
        for name, b in net.named_buffers()
        if not name.endswith("batches_tracked")
    }
    assert {b.name: b.shape for layer in layers for b in layer.buffers} == statistics
    x: Tensor = torch.zeros(2, *info.shape)
    net.eval()
    for index, layer in enumerate(layers):
        assert sum(p.numel() for p in net.parameters_of_layer(index)) == layer.num_parameters
        x = net(x, index, index + 1)
        assert tuple(x.shape[1:]) == layer.output_shape
        assert x[0].numel() == layer.activation_size


@pytest.mark.parametrize(("model", "info"), SPECS[::4])
def test_a_net_run_in_two_parts_gives_the_bits_of_the_whole(
    model: ModelSpec, info: DatasetInfo
) -> None:
    net = build(model, info).eval()
    x = torch.randn(3, *info.shape, generator=torch.Generator().manual_seed(0))
    whole = net(x)
    for cut in range(len(net.layers) + 1):
        assert torch.equal(net(net(x, 0, cut), start=cut), whole)


def test_a_layer_does_not_change_its_input() -> None:
    for model in (
        ReluNetSpec(width=5, depth=2),
        Vgg5Spec(width_multiplier=0.05),
        Resnet18Spec(width_multiplier=0.1),
    ):
        net = build(model, DIGITS).eval()
        x = torch.randn(2, *DIGITS.shape)
        for index in range(len(net.layers)):
            kept = x.clone()
            after = net(x, index, index + 1)
            assert torch.equal(x, kept)
            x = after


def test_flops_of_a_linear_layer_are_two_a_weight() -> None:
    bottom, top = layout(ReluNetSpec(width=100, depth=1), DIGITS)
    assert (bottom.forward_flops, top.forward_flops) == (2 * 784 * 100 + 100, 2 * 100 * 10)


def test_initial_weights_follow_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = build(ReluNetSpec(width=9), DIGITS, seed=3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = build(ReluNetSpec(width=9), DIGITS, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    other = build(ReluNetSpec(width=9), DIGITS, seed=4)
    for (name, a), b, c in zip(
        one.named_parameters(), two.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert name.endswith("bias") or not torch.equal(a, c)


@pytest.mark.parametrize("gain", [1.0, 10.0])
def test_xavier_has_the_stated_spread_and_zero_biases(gain: float) -> None:
    net = build(Vgg5Spec(second_kernel=3, batch_norm=True), DIGITS, XavierSpec(gain=gain))
    for name, parameter in net.named_parameters():
        if parameter.dim() > 1 and parameter.numel() > 5_000:
            area = prod(parameter.shape[2:])
            sigma = gain * sqrt(2 / ((parameter.shape[0] + parameter.shape[1]) * area))
            spread = parameter.std().item()
            # the sample standard deviation of n normals is off by sigma / sqrt(2 n); 5 of those never happen
            assert abs(spread - sigma) < 5 * sigma / sqrt(2 * parameter.numel())
        elif parameter.dim() == 1:
            expected = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            assert torch.all(parameter == expected)


def test_weights_survive_the_way_through_bytes_and_equal_tensors_give_equal_bytes() -> None:
    flat = torch.arange(12.0)
    tensors = {"b": flat[:6].view(2, 3), "a": flat[6:].view(3, 2).t(), "n": torch.tensor(3)}
    data = save_tensors(tensors)
    back = load_tensors(data)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert save_tensors(dict(reversed(back.items()))) == data


def test_bytes_that_are_no_safetensors_are_refused() -> None:
    for data in (b"", b"rubbish that is long enough", save_tensors({"a": torch.ones(3)})[:-2]):
        with pytest.raises(WeightsUnavailable, match="safetensors"):
            load_tensors(data)


def test_a_checkpoint_gives_its_own_weights_and_buffers_back() -> None:
    model = Vgg5Spec(width_multiplier=0.1, batch_norm=True)
    source = build(model, DIGITS, seed=5)
    source(torch.randn(4, *DIGITS.shape))  # moves the running statistics
    theta = save_tensors(source.state_dict())
    net = build_model(model, DIGITS)
    initialise(
        net,
        CheckpointSpec(checkpoint="art_1"),
        0,
        read_checkpoint={"art_1": theta}.__getitem__,
        weights_dir=Path("nowhere"),
        allow_download=False,
    )
    assert all(
        torch.equal(net.state_dict()[name], value) for name, value in source.state_dict().items()
    )


def test_a_checkpoint_of_another_model_is_refused_with_the_differences() -> None:
    theta = save_tensors(build(ReluNetSpec(width=8), DIGITS).state_dict())
    net = build_model(ReluNetSpec(width=9), DIGITS)
    with pytest.raises(
        WeightsUnavailable, match=r"layers\.0\.linear\.bias is torch\.float32 \(8,\), the model's"
    ):
        initialise(
            net,
            CheckpointSpec(checkpoint="x"),
            0,
            read_checkpoint=lambda _: theta,
            weights_dir=Path("nowhere"),
            allow_download=False,
        )


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
    assert values["layers.7.conv.bias"].unique().tolist() == [18.0]


def test_a_damaged_pretrained_file_is_refused(tmp_path: Path) -> None:
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


def test_pretrained_weights_of_another_width_are_refused(tmp_path: Path) -> None:
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
            read_checkpoint=_no_checkpoint,
            weights_dir=tmp_path,
            allow_download=False,
        )


def test_pretrained_is_refused_before_a_run_where_it_cannot_fit() -> None:
    assert validate_model(Vgg11Spec(), PretrainedSpec(), CIFAR10) == []
    assert validate_model(Vgg5Spec(), XavierSpec(), DIGITS) == []
    (error,) = validate_model(Vgg5Spec(), PretrainedSpec(), DIGITS)
    assert error.pointer == "#/spec/init"
    assert "'vgg5'" in error.detail
    assert "1 channel" in error.detail
    (error,) = validate_model(Vgg11Spec(width_multiplier=0.5), PretrainedSpec(), CIFAR10)
    assert "width_multiplier is 0.5" in error.detail


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_pooling_before_the_relu_gives_the_bits_of_pooling_after_it(
    memory_format: torch.memory_format,
) -> None:
    x = (
        torch.randn(8, 6, 11, 11).round(decimals=1).to(memory_format=memory_format)
    )  # rounded, so that ties occur
    weight = torch.randn(8, 6, 5, 5)
    results = []
    for pieces in (
        (torch.nn.MaxPool2d(2), torch.nn.ReLU(inplace=True)),
        (torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
    ):
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        y = torch.nn.Sequential(*pieces)(leaf * 1.0)
        (y * weight).sum().backward()
        assert leaf.grad is not None
        results.append((y.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
