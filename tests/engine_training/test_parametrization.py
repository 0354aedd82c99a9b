"""Parametrisations: by hand, against the standard net, over widths, in every kind, refused."""

from __future__ import annotations

from math import log, sqrt
from pathlib import Path
from statistics import linear_regression
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import jacrev, jvp
from torch.nn import functional

from engine.data.bounds import batch_bounds
from engine.data.load import load_dataset
from engine.data.resident import epoch_order
from engine.data.spec import BUILTIN_DATASETS
from engine.determinism import deterministic
from engine.experiments.registry import get_kind, parse_spec
from engine.local import LocalRunContext
from engine.models.build import initialise
from engine.models.net import LayeredNet
from engine.models.weights import load_tensors
from engine.nets import build_net
from engine.paper.departures import list_departures
from engine.probes.linearised import measure_linearised
from engine.probes.movement import measure_movement
from engine.probes.net import ProbeBatch, ProbeNet
from engine.probes.tangent_kernel import tangent_kernel
from engine.seeds import derive_seed
from engine.spec import Execution, ExperimentSpec
from engine.spec_checks import check_spec
from engine.training import loop
from engine.training.outcome import TrainedSeed

DIGITS = BUILTIN_DATASETS["digits"]
SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.0}
ADAM = {"name": "adam", "lr": 0.001}
NTK, MUP = {"name": "ntk"}, {"name": "mup", "base_width": 8}


def make_spec(**fields: Any) -> ExperimentSpec:
    common = {
        "kind": "train",
        "data": {"name": "digits", "train_size": 256, "test_size": 100},
        "model": {"name": "relu_net", "width": 12, "depth": 2},
        "optimizer": SGD,
        "epochs": 2,
    }
    return parse_spec({**common, **fields})


def make_context(folder: Path, **execution: Any) -> LocalRunContext:
    chosen = Execution(device="cpu", **execution)
    return LocalRunContext(folder, (0,), chosen, data_dir=folder, allow_download=False)


def train(folder: Path, **fields: Any) -> TrainedSeed:
    execution = {"stack_seeds": False}
    return loop.train(make_spec(**fields), make_context(folder, **execution))[0]


def is_equal(one: TrainedSeed, other: TrainedSeed) -> bool:
    return all(torch.equal(tensor, other.theta_T[name]) for name, tensor in one.theta_T.items())


def load_net(spec: ExperimentSpec, theta: dict[str, Tensor]) -> LayeredNet:
    net = build_net(spec, DIGITS)
    net.load_state_dict(theta)
    return net.eval()


def load_images(spec: ExperimentSpec, folder: Path) -> tuple[Tensor, Tensor]:
    data = load_dataset(
        spec.data, data_dir=folder, allow_download=False, registered=lambda name: None
    )
    return data.x_train[:].flatten(1), data.y_train


MULTIPLIERS: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[float, float]]]] = {
    "ntk": (NTK, SGD, [(1 / 28, 1.0), (1 / sqrt(12), 1.0), (1 / sqrt(12), 1.0)]),
    "mup, sgd": (MUP, SGD, [(sqrt(1.5), sqrt(1.5)), (1.0, sqrt(1.5)), (1 / sqrt(1.5), 1.0)]),
    "mup, adam": (MUP, ADAM, [(1.0, 1.0), (1 / 1.5, 1.0), (1 / 1.5, 1.0)]),
}
"""(of the weight, of the bias) of each layer of a 784-12-12-10 net; the base net is 784-8-8-10"""


@pytest.mark.parametrize("name", MULTIPLIERS)
def test_a_training_is_the_plain_loop_with_multipliers(tmp_path: Path, name: str) -> None:
    parametrization, settings, multipliers = MULTIPLIERS[name]
    spec = make_spec(parametrization=parametrization, optimizer=settings)
    trained = train(tmp_path, parametrization=parametrization, optimizer=settings)
    parameters = [one.clone().requires_grad_() for one in trained.theta_0.values()]
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam(parameters, lr=0.001, fused=True)
        if settings is ADAM
        else torch.optim.SGD(parameters, lr=0.1, fused=True)
    )
    x, y = load_images(spec, tmp_path)
    with deterministic(True, 1):
        for epoch in range(2):
            order = epoch_order(0, epoch, 256)
            for start, stop in batch_bounds(256, 128):
                chosen = order[start:stop]
                h = x[chosen]
                for layer, (of_weight, of_bias) in enumerate(multipliers):
                    weight, bias = parameters[2 * layer : 2 * layer + 2]
                    h = functional.linear(h, weight * of_weight, bias * of_bias)
                    h = h.relu() if layer < 2 else h
                optimizer.zero_grad()
                functional.cross_entropy(h, y[chosen]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    for own, there in zip(parameters, trained.theta_T.values(), strict=True):
        assert torch.equal(own, there)


@pytest.mark.parametrize("init", ["xavier", "he", "lecun"])
def test_the_initial_net_of_ntk_is_the_standard_one(tmp_path: Path, init: str) -> None:
    fields: dict[str, Any] = {"epochs": 0, "init": {"name": init, "gain": 2.0}}
    models: list[dict[str, Any]] = [
        {"name": "relu_net", "width": 12},
        {"name": "conv_net", "width": 5},
    ]
    for model in models:
        spec = make_spec(**fields, model=model, parametrization=NTK)
        plain = train(tmp_path / "a" / model["name"], **fields, model=model)
        scaled = train(tmp_path / "b" / model["name"], **fields, model=model, parametrization=NTK)
        x = load_images(spec, tmp_path)[0].view(-1, *DIGITS.shape)
        given = load_net(make_spec(**fields, model=model), plain.theta_0)(x)
        torch.testing.assert_close(load_net(spec, scaled.theta_0)(x), given)
    weights = scaled.theta_0["layers.1.conv.weight"]
    deviation = {"xavier": sqrt(2 * 45 / (45 + 45)), "he": sqrt(2), "lecun": 1.0}[init]
    assert abs(weights.std().item() / (2 * deviation) - 1) < 5 / sqrt(2 * weights.numel())


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize(
    "model",
    [
        {"name": "mlp", "widths": [6, 12], "norm": "layer"},
        {"name": "conv_net", "width": 6},
        {"name": "vgg5", "width_multiplier": 6 / 64},
        {"name": "resnet18", "width_multiplier": 6 / 64},
    ],
    ids=lambda model: model["name"],
)
def test_mup_at_its_base_width_is_the_standard_training_bit_for_bit(
    tmp_path: Path, model: dict[str, Any], optimizer: dict[str, Any]
) -> None:
    fields = {
        "model": model,
        "optimizer": optimizer,
        "epochs": 1,
        "data": {"name": "digits", "train_size": 64, "test_size": 10},
        "batch_size": 32,
    }
    scaled = train(tmp_path / "a", **fields, parametrization={"name": "mup", "base_width": 6})
    assert is_equal(scaled, train(tmp_path / "b", **fields))
    wider = make_spec(**fields, parametrization={"name": "mup", "base_width": 3})
    assert {one.multiplier for one in wider.find_scales(DIGITS).values()} > {1.0}


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
def test_steps_under_mup_change_activations_by_as_much_at_every_width(
    tmp_path: Path, optimizer: dict[str, Any]
) -> None:
    """The coordinate check of arXiv 2203.03466, Appendix D.1.

    A slope that should be 0 differs from it by what one seed and terms of order 1 / width give;
    wrong scales differ by 1/2 at least.
    """
    slopes = {
        name: measure_slopes(tmp_path / name, optimizer, {"name": name, **own})
        for name, own in {"mup": {"base_width": 8}, "standard": {}}.items()
    }
    assert all(abs(slope) < 0.15 for slope in slopes["mup"])
    assert slopes["standard"][2] > 0.3


def measure_slopes(
    folder: Path, optimizer: dict[str, Any], parametrization: dict[str, Any]
) -> list[float]:
    """Of log |change of a layer's output| against log width, by layer, after four steps.

    Then the same of what the layer changes by its own parameters alone.
    """
    widths = (64, 256, 1024)
    changes: list[list[float]] = [[] for _ in range(6)]
    for width in widths:
        fields: dict[str, Any] = {
            "model": {"name": "relu_net", "width": width, "depth": 2},
            "init": {"name": "lecun"},
            "optimizer": optimizer,
            "parametrization": parametrization,
        }
        trained = train(folder / str(width), **fields)
        spec = make_spec(**fields)
        before, after = (load_net(spec, theta) for theta in (trained.theta_0, trained.theta_T))
        with torch.no_grad():
            x = load_images(spec, folder)[0]
            for layer in range(3):
                moved = after(x, 0, layer + 1) - before(x, 0, layer + 1)
                changes[layer].append(log(moved.square().mean().sqrt().item()))
                h = before(x, 0, layer)
                own = after(h, layer, layer + 1) - before(h, layer, layer + 1)
                changes[3 + layer].append(log(own.square().mean().sqrt().item()))
    logs = [log(width) for width in widths]
    return [linear_regression(logs, values).slope for values in changes]


def run(folder: Path, spec: ExperimentSpec, **execution: Any) -> tuple[Any, LocalRunContext]:
    ctx = make_context(folder, **execution)
    (result,) = get_kind(spec.kind).load_run()(spec, ctx)
    return result, ctx


@pytest.mark.parametrize("parametrization", [NTK, MUP], ids=["ntk", "mup"])
def test_mixtures_of_a_sweep_are_nets_of_the_parametrisation(
    tmp_path: Path, parametrization: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the shared product takes parameters for weights; where biases are small its classes are equal
    monkeypatch.setattr("engine.analysis.reinit.count_correct_relu", None)
    fast = SGD | {"lr": 10.0} if parametrization is NTK else SGD
    fields: dict[str, Any] = {"parametrization": parametrization, "optimizer": fast}
    spec = make_spec(kind="reinit_sweep", epochs=4, **fields)
    result, ctx = run(tmp_path, spec)
    thetas = [load_tensors(ctx.load_checkpoint(name, 0)) for name in ("theta_0", "theta_T")]
    moved = torch.cat([(thetas[1][name] - thetas[0][name]).abs().flatten() for name in thetas[0]])
    active = next(curve for curve in result.curves if curve.mode == "active")
    place = active.fractions_percent.index(20.0)
    first = torch.zeros(len(moved), dtype=torch.bool)
    first[moved.argsort(descending=True)[: active.counts[place]]] = True
    parts = torch.split(first, [tensor.numel() for tensor in thetas[0].values()])
    mixed = {
        name: torch.where(chosen.view(start.shape), start, thetas[1][name])
        for chosen, (name, start) in zip(parts, thetas[0].items(), strict=True)
    }
    data = load_dataset(
        spec.data, data_dir=tmp_path, allow_download=False, registered=lambda name: None
    )
    right = load_net(spec, mixed)(data.x_test[:]).argmax(1) == data.y_test
    assert active.test_accuracy[place] == right.sum().item() / 100
    assert active.test_accuracy[place] not in (active.test_accuracy[0], active.test_accuracy[-1])


def test_a_net_drawn_afresh_is_of_the_parametrisation(tmp_path: Path) -> None:
    spec = make_spec(
        kind="reinit_sweep",
        model={"name": "mlp", "widths": [12], "activation": "tanh"},  # not homogeneous as ReLU is
        init={"name": "lecun", "gain": 3.0},
        parametrization=NTK,
        reset_to={"name": "fresh"},
    )
    result, ctx = run(tmp_path, spec)
    net = build_net(spec, DIGITS)
    initialise(
        net,
        spec.init,
        derive_seed(0, "fresh"),
        read_checkpoint=ctx.read_checkpoint,
        weights_dir=tmp_path,
        allow_download=False,
    )
    data = load_dataset(
        spec.data, data_dir=tmp_path, allow_download=False, registered=lambda name: None
    )
    right = net.eval()(data.x_test[:]).argmax(1) == data.y_test
    active = next(curve for curve in result.curves if curve.mode == "active")
    assert active.test_accuracy[-1] == right.sum().item() / 100


@pytest.mark.parametrize("parametrization", [NTK, MUP], ids=["ntk", "mup"])
def test_cached_activations_of_frozen_layers_change_no_bit(
    tmp_path: Path, parametrization: dict[str, Any]
) -> None:
    policy = {"name": "top_k", "k": 1}
    spec = make_spec(kind="lws", policy=policy, parametrization=parametrization)
    ends = []
    for cached in (True, False):
        _, ctx = run(tmp_path / str(cached), spec, prefix_cache=cached)
        ends.append(load_tensors(ctx.load_checkpoint("theta_T", 0)))
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


def test_probes_are_those_of_the_parameters(tmp_path: Path) -> None:
    """Linear model, tangent kernel and movement of a net that is written out."""
    model = {"name": "mlp", "widths": [12], "activation": "tanh"}
    spec = make_spec(parametrization=NTK, model=model, optimizer=SGD | {"lr": 10.0})
    everything = {"examples": 256, "split": "train"}
    fields: dict[str, Any] = {"model": model, "optimizer": SGD | {"lr": 10.0}}
    trained = train(tmp_path, parametrization=NTK, probes=everything, **fields)
    start, end = dict(trained.theta_0), dict(trained.theta_T)
    x, y = load_images(spec, tmp_path)
    losses = functional.cross_entropy(load_net(spec, end)(x), y)
    assert trained.probes["probe_loss"] == pytest.approx(losses.item(), rel=1e-5)
    x, y = x[:20], y[:20]
    probe = ProbeNet(load_net(spec, start), ProbeBatch(x.view(-1, 1, 28, 28), y, 10))

    def output(theta: dict[str, Tensor]) -> Tensor:
        weight_1, bias_1, weight_2, bias_2 = theta.values()
        hidden = torch.tanh(x @ (weight_1 / 28).T + bias_1)
        return hidden @ (weight_2 / sqrt(12)).T + bias_2

    moved = {name: end[name] - start[name] for name in start}
    at_start, change, *_ = jvp(output, (start,), (moved,))
    error = (at_start + change - output(end)).square().mean().sqrt().item()
    assert measure_linearised(probe, start, end)["linear_error"] == pytest.approx(error, rel=1e-4)
    jacobians = jacrev(output)(start).values()
    rows = torch.cat([one.flatten(2) for one in jacobians], dim=2).flatten(0, 1).double()
    kernel = tangent_kernel(probe, start, full=True, at_once=64)
    torch.testing.assert_close(kernel, rows @ rows.T, rtol=1e-4, atol=1e-4)
    norms = [
        sqrt(sum(float(tensor.double().square().sum()) for tensor in theta.values()))
        for theta in (moved, start)
    ]
    assert measure_movement(probe, start, end)["movement"] == pytest.approx(norms[0] / norms[1])


@pytest.mark.parametrize("parametrization", [NTK, MUP], ids=["ntk", "mup"])
def test_another_precision_rounds_and_seeds_train_one_by_one(
    tmp_path: Path, parametrization: dict[str, Any]
) -> None:
    spec = make_spec(parametrization=parametrization)
    (exact,) = loop.train(spec, make_context(tmp_path / "a"))
    (rough,) = loop.train(spec, make_context(tmp_path / "b", precision="bf16"))
    told = "Seeds train one by one: the batched net does not compute parametrization."
    assert exact.notes == (told,)
    assert not is_equal(exact, rough)
    for name, tensor in exact.theta_T.items():
        torch.testing.assert_close(tensor, rough.theta_T[name], atol=0.02, rtol=0.02)


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"parametrization": NTK, "optimizer": ADAM}, ["needs-sgd"]),
    ({"parametrization": NTK, "optimizer": {"name": "adamw"}}, ["needs-sgd"]),
    ({"parametrization": NTK, "init": {"name": "torch"}}, ["needs-drawn-weights"]),
    ({"parametrization": MUP, "init": {"name": "torch"}}, ["needs-drawn-weights"]),
    (
        {"parametrization": MUP, "optimizer": ADAM | {"weight_decay": 0.1}},
        ["needs-decoupled-decay"],
    ),
    (
        {"parametrization": MUP, "model": {"name": "torchvision", "architecture": "resnet18"}},
        ["needs-planned-net"],
    ),
    ({"parametrization": MUP, "optimizer": SGD | {"weight_decay": 0.1}}, []),
    ({"parametrization": MUP, "optimizer": {"name": "adamw"}}, []),
    ({"parametrization": MUP, "init": {"name": "checkpoint", "checkpoint": "a"}}, []),
    ({"parametrization": NTK, "output_scale": {"alpha": 2.0}, "clip_norm": 1.0}, []),
]


@pytest.mark.parametrize(("fields", "codes"), REFUSED, ids=str)
def test_what_cannot_be_right_is_refused(fields: dict[str, Any], codes: list[str]) -> None:
    errors = check_spec(make_spec(**fields), DIGITS)
    assert [error.code for error in errors] == codes
    assert all(error.pointer == "#/spec/parametrization" for error in errors)


def test_every_net_of_a_spec_is_built_in_its_parametrisation() -> None:
    engine = Path(__file__).parents[2] / "engine"
    callers = [path.name for path in engine.rglob("*.py") if "build_model(" in path.read_text()]
    assert sorted(callers) == ["build.py", "nets.py"]


def test_it_is_told_and_part_of_the_training() -> None:
    plain, standard = make_spec(), make_spec(parametrization={"name": "standard"})
    assert plain.digest() == standard.digest()
    assert "parametrization" not in plain.training_spec()
    scaled = make_spec(parametrization=MUP)
    assert scaled.training_spec()["parametrization"] == MUP
    told = list_departures([scaled], 5)
    assert "the maximal-update parametrisation of the weights, from width 8" in told
    told = list_departures([make_spec(parametrization=NTK)], 5)
    assert "the NTK parametrisation of the weights" in told
