"""Learning rates, frozen layers, and layers that train late."""

from __future__ import annotations

import pytest
import torch

from engine.models.spec import ReluNetSpec
from engine.optim.build import build_optimizer, set_learning_rate
from engine.optim.schedule import learning_rate
from engine.optim.spec import AdamSpec, ConstantSpec, OptimizerSpec, SgdSpec, StepSpec
from tests.engine_parts.nets import DIGITS, build


def test_a_learning_rate_is_halved_after_every_thirty_epochs() -> None:
    schedule = StepSpec(every_epochs=30, factor=0.5)
    rates = [learning_rate(SgdSpec(lr=0.01), schedule, epoch) for epoch in range(180)]
    assert rates[:30] == [0.01] * 30
    assert rates[30:60] == [0.005] * 30
    assert rates[179] == 0.01 * 0.5**5
    assert learning_rate(AdamSpec(lr=0.1), ConstantSpec(), 99) == 0.1


@pytest.mark.parametrize(
    "spec",
    [
        AdamSpec(),
        AdamSpec(weight_decay=0.1, beta1=0.0),
        SgdSpec(weight_decay=5e-4),
        SgdSpec(momentum=0.0),
        SgdSpec(nesterov=False),
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
