"""Each quantity equals a direct computation on a toy net, and mutations of the engine do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp, inf, log
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import jvp
from torch.nn.functional import linear, log_softmax, one_hot

from engine.analysis.stats import bounds_of, summarize
from engine.models.spec import MlpSpec, OutputScaleSpec
from engine.probes import alignment, features, linearised, movement, net, tangent_kernel
from engine.probes.cost import rows_at_once
from engine.probes.quantities import QUANTITIES, read_name
from tests.engine_parts.nets import build

Theta = dict[str, Tensor]
Values = dict[str, float]
N, C = 11, 10
RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""The engine computes in float32, and the direct computations below in float64."""


def toy(**changes: Any) -> tuple[net.ProbeNet, Theta, Theta]:
    """A net of two hidden layers, theta_0, and theta_t: every parameter has moved."""
    built = build(MlpSpec(widths=(6, 5), **changes))
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(N, 1, 28, 28, generator=generator) / 5
    y = torch.randint(0, C, (N,), generator=generator)
    start = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    now = {
        name: tensor + 0.3 * torch.randn(tensor.shape, generator=generator).abs()
        if tensor.is_floating_point()
        else tensor
        for name, tensor in start.items()
    }
    return net.ProbeNet(built, net.ProbeBatch(x, y, C)), start, now


def direct_layers(theta: Mapping[str, Tensor], x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Of the toy net by hand, in float64: (inputs of the ReLUs, outputs of the layers)."""
    inputs, outputs = [], []
    values = list(theta.values())
    x = x.flatten(1).double()
    for place in range(3):
        x = linear(x, values[2 * place].double(), values[2 * place + 1].double())
        if place < 2:
            inputs.append(x)
            x = torch.where(x > 0, x, torch.zeros_like(x))
        outputs.append(x)
    return inputs, outputs


def direct_jacobian(theta: Theta, x: Tensor) -> Tensor:
    """[nC, p] by one backward pass a row."""
    leaves = {name: value.double().requires_grad_() for name, value in theta.items()}
    logits = direct_layers(leaves, x)[1][-1]
    rows = [
        torch.cat(
            [
                one.flatten()
                for one in torch.autograd.grad(logit, list(leaves.values()), retain_graph=True)
            ]
        )
        for logit in logits.flatten()
    ]
    return torch.stack(rows)


def direct_alignment(one: Tensor, other: Tensor) -> float:
    """By the definition, with the centring matrix and traces."""
    centring = torch.eye(len(one), dtype=torch.float64) - 1 / len(one)
    first, second = centring @ one @ centring, centring @ other @ centring
    norms = (torch.trace(first @ first) * torch.trace(second @ second)) ** 0.5
    return float(torch.trace(first @ second) / norms)


def direct_movement(probe: net.ProbeNet, start: Theta, now: Theta) -> Values:
    values = {}
    groups = {"": list(start)} | {
        f"_layer_{layer}": list(start)[2 * layer : 2 * layer + 2] for layer in range(3)
    }
    for ending, names in groups.items():
        before, after = (
            torch.cat([theta[name].double().flatten() for name in names]) for theta in (start, now)
        )
        values[f"movement{ending}"] = float((after - before).norm() / before.norm())
        values[f"cosine{ending}"] = float(torch.cosine_similarity(after, before, dim=0))
    return values


def direct_features(probe: net.ProbeNet, start: Theta, now: Theta) -> Values:
    (relus_0, layers_0), (relus_t, layers_t) = (
        direct_layers(theta, probe.batch.x) for theta in (start, now)
    )
    values = {
        f"cka_layer_{layer}": direct_alignment(one @ one.T, other @ other.T)
        for layer, (one, other) in enumerate(zip(layers_0, layers_t, strict=True))
    }
    values["cka"] = sum(values.values()) / 3
    flips = [
        ((one > 0) != (other > 0)).double() for one, other in zip(relus_0, relus_t, strict=True)
    ]
    values |= {f"relu_flips_layer_{layer}": float(one.mean()) for layer, one in enumerate(flips)}
    values["relu_flips"] = float(torch.cat(flips, dim=1).mean())
    squares = torch.linalg.eigvalsh(layers_t[1].T @ layers_t[1]).clamp(min=0)
    shares = (squares.sqrt() / squares.sqrt().sum()).tolist()
    values["effective_rank"] = exp(-sum(p * log(p) for p in shares if p > 0))
    return values


def direct_linearised(probe: net.ProbeNet, start: Theta, now: Theta) -> Values:
    batch = probe.batch
    moved = torch.cat([(now[name].double() - start[name].double()).flatten() for name in start])
    at_start, at_now = (direct_layers(theta, batch.x)[1][-1] for theta in (start, now))
    model = at_start + (direct_jacobian(start, batch.x) @ moved).view(N, C)
    values = {"linear_error": float((model - at_now).pow(2).mean() ** 0.5)}
    for name, logits in (("linear", model), ("probe", at_now)):
        right = [
            int(row.argmax()) == int(label) for row, label in zip(logits, batch.y, strict=True)
        ]
        values[f"{name}_accuracy"] = sum(right) / N
        chosen = log_softmax(logits, 1)[torch.arange(N), batch.y]
        values[f"{name}_loss"] = float(-chosen.mean())
    return values


def direct_kernel(probe: net.ProbeNet, start: Theta, now: Theta, *, full: bool = False) -> Values:
    kernels = []
    for theta in (start, now):
        jacobian = direct_jacobian(theta, probe.batch.x)
        if not full:
            jacobian = jacobian.view(N, C, -1).sum(dim=1) / C**0.5
        kernels.append(jacobian @ jacobian.T)
    one, other = kernels
    cosine = float((one * other).sum() / (one.norm() * other.norm()))
    labels = one_hot(probe.batch.y, C).double()
    small = other
    if full:
        small = sum(other[c::C, c::C] for c in range(C)) / C  # type: ignore[assignment]
    return {
        "kernel_distance": float((other - one).norm() / one.norm()),
        "kernel_turn": 1 - cosine,
        "kernel_alignment": direct_alignment(small, labels @ labels.T),
    }


def measured_kernel(
    probe: net.ProbeNet, start: Theta, now: Theta, *, full: bool = False, at_once: int = 4
) -> Values:
    one, other = (
        tangent_kernel.tangent_kernel(probe, theta, full=full, at_once=at_once)
        for theta in (start, now)
    )
    return tangent_kernel.measure_kernel(probe, one, other)


def measured_full(probe: net.ProbeNet, start: Theta, now: Theta) -> Values:
    return measured_kernel(probe, start, now, full=True, at_once=17)


def direct_full(probe: net.ProbeNet, start: Theta, now: Theta) -> Values:
    return direct_kernel(probe, start, now, full=True)


PAIRS: dict[str, tuple[Callable[..., Values], Callable[..., Values]]] = {
    "movement": (lambda *nets: movement.measure_movement(*nets), direct_movement),
    "features": (lambda *nets: features.measure_features(*nets), direct_features),
    "linearised": (lambda *nets: linearised.measure_linearised(*nets), direct_linearised),
    "tangent_kernel": (measured_kernel, direct_kernel),
    "full kernel": (measured_full, direct_full),
}


def wrong_names(pair: str) -> set[str]:
    """The quantities that differ from the direct computation."""
    measure, compute = PAIRS[pair]
    toy_net = toy()
    measured, expected = measure(*toy_net), compute(*toy_net)
    assert set(measured) == set(expected)
    return {
        name
        for name in measured
        if measured[name] != pytest.approx(expected[name], rel=RELATIVE, abs=ABSOLUTE)
    }


@pytest.mark.parametrize("pair", PAIRS)
def test_each_quantity_equals_a_direct_computation(pair: str) -> None:
    assert wrong_names(pair) == set()


def test_every_quantity_is_measured_and_compared() -> None:
    names = {name for pair in PAIRS for name in PAIRS[pair][1](*toy())}
    assert {one.name for one in QUANTITIES} == {name for name in names if "layer" not in name}
    for name in names:
        found = read_name(name)
        assert found is not None, name
        assert found[0].has_layers or found[1] is None


MOVED, SVD = movement._compare, torch.linalg.svdvals


class LateRelus(features._ReluInputs):  # type: ignore[no-untyped-call]
    """Notes other inputs."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "relu" in str(func):
            self.positive.append(args[0] > 1)
        return func(*args, **(kwargs or {}))


MUTATIONS: dict[str, tuple[str, Any, str, Any, set[str]]] = {
    # name: (pair, module, attribute, what replaces it, the quantities that notice)
    "a distance over the norm at the end": (
        "movement",
        movement,
        "_compare",
        lambda names, start, now: MOVED(names, now, start),
        {"movement", *(f"movement_layer_{layer}" for layer in range(3))},
    ),
    "layers mixed up": (
        "movement",
        movement,
        "name_of_layer",
        lambda name, layer: f"{name}_layer_{2 - layer}",
        {f"{name}_layer_{layer}" for name in ("movement", "cosine") for layer in (0, 2)},
    ),
    "similarities that are not centred": (
        "features",
        alignment,
        "_centre",
        lambda kernel: kernel,
        {"cka", *(f"cka_layer_{layer}" for layer in range(3))},
    ),
    "singular values squared": (
        "features",
        torch.linalg,
        "svdvals",
        lambda rows: SVD(rows).square(),
        {"effective_rank"},
    ),
    "ReLUs that are open above 1": (
        "features",
        features,
        "_ReluInputs",
        LateRelus,
        {"relu_flips", "relu_flips_layer_0", "relu_flips_layer_1"},
    ),
    "a model around the end": (
        "linearised",
        linearised,
        "jvp",
        lambda run, at, moved: jvp(run, ({k: at[0][k] + moved[0][k] for k in at[0]},), moved),
        {"linear_error", "linear_loss"},
    ),
    "the first logit alone": (
        "tangent_kernel",
        torch.Tensor,
        "new_full",
        lambda x, shape, value: torch.eye(C)[:1].repeat(shape[0], 1),
        {"kernel_distance", "kernel_turn", "kernel_alignment"},
    ),
    "a kernel that is not symmetric": (
        "tangent_kernel",
        torch.Tensor,
        "triu",
        lambda kernel, diagonal=0: kernel if diagonal == 0 else torch.zeros_like(kernel),
        {"kernel_distance", "kernel_turn", "kernel_alignment"},
    ),
    "labels without their classes": (
        "tangent_kernel",
        tangent_kernel,
        "one_hot_kernel",
        lambda labels, classes: alignment.linear_kernel(labels[:, None]),
        {"kernel_alignment"},
    ),
    "one class for all": (
        "full kernel",
        tangent_kernel,
        "_mean_over_classes",
        lambda kernel, n: kernel[::C, ::C],
        {"kernel_alignment"},
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_is_noticed(mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, module, attribute, replacement, noticed = MUTATIONS[mutation]
    monkeypatch.setattr(module, attribute, replacement)
    assert wrong_names(pair) >= noticed


def test_the_size_of_a_block_changes_no_kernel_beyond_rounding() -> None:
    probe, start, _ = toy()
    kernels = [
        tangent_kernel.tangent_kernel(probe, start, full=False, at_once=size) for size in (1, 4, N)
    ]
    for kernel in kernels[1:]:
        assert torch.allclose(kernel, kernels[0], rtol=1e-5)
        assert torch.equal(kernel, kernel.T)


def test_a_block_takes_no_more_memory_than_is_stated() -> None:
    small, large = rows_at_once(128, 10**6, 10**4), rows_at_once(128, 10**7, 10**6)
    assert 4 * small * 2 * (10**6 + 10**4) <= 512 << 20 < 4 * (small + 1) * 2 * (10**6 + 10**4)
    assert 4 * large * 2 * (10**7 + 10**6) <= 512 << 20
    assert rows_at_once(128, 10, 10) == 128
    assert rows_at_once(128, 10**12, 10) == 1


def test_a_net_that_has_not_moved_is_at_distance_zero() -> None:
    probe, start, _ = toy()
    assert measured_kernel(probe, start, start)["kernel_distance"] == 0.0
    assert measured_kernel(probe, start, start)["kernel_turn"] == 0.0
    assert linearised.measure_linearised(probe, start, start)["linear_error"] == 0.0
    assert movement.measure_movement(probe, start, start)["movement"] == 0.0
    assert features.measure_features(probe, start, start)["relu_flips"] == 0.0


def test_batch_normalisation_uses_its_running_statistics() -> None:
    """So an example's features do not depend on the others of the batch."""
    probe, start, now = toy(norm="batch")
    few = net.ProbeNet(probe._net, net.ProbeBatch(probe.batch.x[:3], probe.batch.y[:3], C))
    whole, part = (
        tangent_kernel.tangent_kernel(one, now, full=False, at_once=N) for one in (probe, few)
    )
    assert torch.allclose(whole[:3, :3], part, rtol=1e-5)
    moved = {**now, "layers.0.norm.running_var": now["layers.0.norm.running_var"] * 4}
    assert not torch.allclose(
        tangent_kernel.tangent_kernel(probe, moved, full=False, at_once=N), whole, rtol=1e-2
    )
    assert set(movement.measure_movement(probe, start, now)) == {
        f"{name}{ending}"
        for name in ("movement", "cosine")
        for ending in ("", "_layer_0", "_layer_1", "_layer_2")
    }


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_a_net_without_relus_has_no_flips(activation: str) -> None:
    assert "relu_flips" not in features.measure_features(*toy(activation=activation))


def test_features_that_are_constant_or_infinite_have_no_rank() -> None:
    assert features.effective_rank(torch.zeros(3, 2)) != features.effective_rank(torch.zeros(3, 2))
    assert features.effective_rank(torch.full((3, 2), torch.inf)) != 0.0
    assert features.effective_rank(torch.eye(4)) == pytest.approx(4.0)
    assert features.effective_rank(torch.ones(4, 3)) == pytest.approx(1.0)


@pytest.mark.parametrize("centred", [True, False])
def test_the_linear_model_of_a_scaled_output_is_scaled(centred: bool) -> None:
    probe, start, now = toy()
    scale = OutputScaleSpec(alpha=20.0, centred=centred)
    probe.output_scale = scale
    batch = probe.batch
    moved = torch.cat([(now[name].double() - start[name].double()).flatten() for name in start])
    at_start, at_now = (direct_layers(theta, batch.x)[1][-1] for theta in (start, now))
    change = (direct_jacobian(start, batch.x) @ moved).view(N, C)
    outputs = {"linear": at_start + change, "probe": at_now}
    found = linearised.measure_linearised(probe, start, now)
    for name, output in outputs.items():
        h = 20.0 * (output - at_start if centred else output)
        loss = float(-log_softmax(h, 1)[torch.arange(N), batch.y].mean())
        assert found[f"{name}_loss"] == pytest.approx(loss, rel=1e-4)
        assert found[f"{name}_accuracy"] == pytest.approx(
            float((h.argmax(1) == batch.y).double().mean())
        )


@pytest.mark.parametrize("pair", PAIRS)
def test_every_value_is_within_the_bounds_of_its_intervals(pair: str) -> None:
    measure, _ = PAIRS[pair]
    for name, value in measure(*toy()).items():
        low, high = bounds_of(name)
        assert low - ABSOLUTE <= value <= high + ABSOLUTE, name


def test_intervals_end_at_the_bounds_of_their_quantity() -> None:
    assert bounds_of("kernel_distance") == bounds_of("movement_layer_3") == (0.0, inf)
    assert bounds_of("cosine_layer_1") == (-1.0, 1.0)
    assert bounds_of("effective_rank") == (1.0, inf)
    found = summarize([0.01, 0.09], bounds_of("kernel_distance"))
    assert found.ci95 == pytest.approx((0.0, 0.5582), abs=1e-4)
