"""Learning rates, frozen layers, and layers that train late."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch.optim import Optimizer

from engine.models.net import LayeredNet
from engine.models.spec import MlpSpec, ReluNetSpec
from engine.optim.build import build_optimizer, set_learning_rate
from engine.optim.schedule import learning_rate
from engine.optim.spec import (
    AdamSpec,
    AdamWSpec,
    ConstantSpec,
    CosineSpec,
    OptimizerSpec,
    ScheduleSpec,
    SgdSpec,
    StepSpec,
)
from tests.engine_parts.nets import DIGITS, build


def test_a_learning_rate_is_halved_after_every_thirty_epochs() -> None:
    schedule = StepSpec(every_epochs=30, factor=0.5)
    rates = list_rates(SgdSpec(lr=0.01), schedule, epochs=180)
    assert rates[:60] == [0.01] * 60
    assert rates[60:120] == [0.005] * 60
    assert rates[359] == 0.01 * 0.5**5
    assert list_rates(AdamSpec(lr=0.1), ConstantSpec(), epochs=3) == [0.1] * 6


def list_rates(optimizer: OptimizerSpec, schedule: ScheduleSpec, epochs: int) -> list[float]:
    """The learning rate of every step of a training with two steps an epoch."""
    return [
        learning_rate(optimizer, schedule, step, steps_per_epoch=2, total_steps=2 * epochs)
        for step in range(2 * epochs)
    ]


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_a_cosine_is_torchs(final: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20, eta_min=0.3 * final)
    for ours in list_rates(SgdSpec(lr=0.3), CosineSpec(final=final), epochs=10):
        (rate,) = torchs.get_last_lr()
        assert ours == pytest.approx(rate, rel=1e-12, abs=1e-15)
        optimizer.step()
        torchs.step()


@pytest.mark.parametrize("warmup", [{"steps": 4}, {"epochs": 2}])
def test_a_warm_up_rises_step_by_step_and_then_the_schedule_begins(warmup: dict[str, int]) -> None:
    constant = ConstantSpec.model_validate({"warmup": warmup})
    assert list_rates(SgdSpec(lr=1.0), constant, epochs=4) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    warm = CosineSpec.model_validate({"warmup": warmup})
    cosine = list_rates(SgdSpec(lr=1.0), CosineSpec(), epochs=2)
    assert list_rates(SgdSpec(lr=1.0), warm, epochs=4) == [0.25, 0.5, 0.75, 1, *cosine]


def test_only_matrices_decay_where_a_spec_says_so() -> None:
    """Equal to torch's own AdamW, bit for bit."""
    for decay, decayed in (("all", lambda _: True), ("matrices", lambda one: one.dim() > 1)):
        weights = []
        for is_ours in (True, False):
            net = build(MlpSpec(widths=(6, 5), norm="layer"))
            spec = AdamWSpec.model_validate({"decay": decay, "weight_decay": 0.3})
            groups = [
                {"params": [one], "weight_decay": 0.3 if decayed(one) else 0.0}
                for one in net.parameters()
            ]
            optimizer = build_optimizer(spec, net)
            if not is_ours:
                optimizer = torch.optim.AdamW(groups, lr=0.001, fused=True)
            train(net, optimizer)
            weights.append([parameter.detach() for parameter in net.parameters()])
        assert all(torch.equal(ours, torchs) for ours, torchs in zip(*weights, strict=True))


@pytest.mark.parametrize(
    ("spec", "torchs"),
    [
        (AdamSpec(weight_decay=0.1), partial(torch.optim.Adam, lr=0.001, weight_decay=0.1)),
        (AdamWSpec(), partial(torch.optim.AdamW, lr=0.001)),
        (AdamWSpec(beta2=0.95), partial(torch.optim.AdamW, lr=0.001, betas=(0.9, 0.95))),
        (SgdSpec(), partial(torch.optim.SGD, lr=0.01, momentum=0.9, nesterov=True)),
        (SgdSpec(momentum=0.0), partial(torch.optim.SGD, lr=0.01)),
    ],
)
@pytest.mark.parametrize("by_layer", [True, False])
def test_an_optimiser_is_torchs_bit_for_bit(
    spec: OptimizerSpec, torchs: Callable[..., Optimizer], by_layer: bool
) -> None:
    ours, other = build(ReluNetSpec(width=6, depth=2)), build(ReluNetSpec(width=6, depth=2))
    train(ours, build_optimizer(spec, ours, by_layer=by_layer))
    train(other, torchs(other.parameters(), fused=True))
    for one, another in zip(ours.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, another)


def train(net: LayeredNet, optimizer: Optimizer) -> None:
    """Five steps on random examples."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        optimizer.zero_grad()
        x = torch.randn(8, *DIGITS.shape, generator=generator)
        torch.nn.functional.cross_entropy(net(x), torch.arange(8)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def test_each_layer_can_have_its_own_learning_rate() -> None:
    net = build(ReluNetSpec(width=3))
    optimizer = build_optimizer(SgdSpec(momentum=0.0), net, by_layer=True)
    set_learning_rate(optimizer, [0.5, 0.25])
    before = [parameter.detach().clone() for parameter in net.parameters()]
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    steps = [old - new for old, new in zip(before, net.parameters(), strict=True)]
    rates = [0.5, 0.5, 0.25, 0.25]
    for step, rate in zip(steps, rates, strict=True):
        torch.testing.assert_close(step, torch.full_like(step, rate))


@pytest.mark.parametrize(
    "spec",
    [
        AdamSpec(),
        AdamSpec(weight_decay=0.1, beta1=0.0),
        SgdSpec(weight_decay=5e-4),
        SgdSpec(momentum=0.0),
        SgdSpec(nesterov=False),
        AdamWSpec(weight_decay=0.3),
        AdamWSpec(weight_decay=0.3, decay="matrices"),
    ],
)
def test_a_frozen_layer_and_its_buffers_never_move(spec: OptimizerSpec) -> None:
    net = build(ReluNetSpec(width=6, depth=2))
    optimizer = build_optimizer(spec, net)
    x, y = torch.randn(8, *DIGITS.shape), torch.arange(8)

    def step(frozen: int | None) -> None:
        for index in range(3):
            for parameter in net.parameters_of_layer(index):
                parameter.requires_grad_(index != frozen)
                parameter.grad = None
        torch.nn.functional.cross_entropy(net(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def state_of(index: int) -> list[torch.Tensor]:
        parameters = net.parameters_of_layer(index)
        buffers = [
            value
            for p in parameters
            for value in optimizer.state[p].values()
            if torch.is_tensor(value)
        ]
        return [value.detach().clone() for value in (*parameters, *buffers)]

    step(None)
    before = {index: state_of(index) for index in range(3)}
    step(1)
    after = {index: state_of(index) for index in range(3)}
    assert all(torch.equal(a, b) for a, b in zip(before[1], after[1], strict=True))
    assert not torch.equal(before[0][0], after[0][0])
    assert not torch.equal(before[2][0], after[2][0])


def test_a_new_learning_rate_is_used_at_the_next_step() -> None:
    net = build(ReluNetSpec(width=3))
    optimizer = build_optimizer(SgdSpec(momentum=0.0, lr=1.0), net)
    set_learning_rate(optimizer, 0.25)
    weight = net.parameters_of_layer(1)[1]
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert torch.all(weight == -0.25)


@pytest.mark.parametrize("spec", [AdamSpec(), SgdSpec(weight_decay=5e-4)])
def test_a_layer_that_first_trains_late_starts_from_empty_buffers(spec: OptimizerSpec) -> None:
    """Compared with torch's unfused optimiser, which creates each buffer separately."""
    optimizer_class = torch.optim.Adam if isinstance(spec, AdamSpec) else torch.optim.SGD
    settings = spec.model_dump(exclude={"name", "beta1", "beta2"})
    weights = []
    for is_fused in (True, False):
        net = build(ReluNetSpec(width=6, depth=2))
        plain = optimizer_class(net.parameters(), foreach=False, **settings)
        optimizer = build_optimizer(spec, net) if is_fused else plain
        for step in range(4):
            for index in range(3):
                for parameter in net.parameters_of_layer(index):
                    trains = index == 2 or step >= 2
                    generator = torch.Generator().manual_seed(step)
                    parameter.grad = (
                        torch.randn(parameter.shape, generator=generator) if trains else None
                    )
            optimizer.step()
        weights.append([parameter.detach().clone() for parameter in net.parameters()])
    for fused, looped in zip(*weights, strict=True):
        # the fused kernel computes in another order
        assert torch.allclose(fused, looped, rtol=1e-5, atol=1e-7)
