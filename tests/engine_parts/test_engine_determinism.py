"""Seeds, settings of a run, the stopwatch, optimisers, and the bits of a row in batches of any size."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from engine.data.bounds import SMALLEST_STABLE_BATCH
from engine.data.spec import BUILTIN_DATASETS
from engine.determinism import derive_seed, deterministic
from engine.models.build import build_model, initialise
from engine.models.net import LayeredNet
from engine.models.spec import ModelSpec, ReluNetSpec, Vgg5Spec, XavierSpec
from engine.models.stability import count_stable_layers
from engine.optim.build import build_optimizer, set_learning_rate
from engine.optim.schedule import learning_rate
from engine.optim.spec import AdamSpec, ConstantSpec, OptimizerSpec, SgdSpec, StepSpec
from engine.timing import Stopwatch

DIGITS = BUILTIN_DATASETS["digits"]


def build(model: ModelSpec) -> LayeredNet:
    net = build_model(model, DIGITS)
    initialise(
        net,
        XavierSpec(),
        0,
        read_checkpoint=lambda _: b"",
        weights_dir=Path("nowhere"),
        allow_download=False,
    )
    return net


def test_derived_seeds_are_fixed_and_told_apart() -> None:
    assert derive_seed(0, "order", 1) == 1332101017241992705
    names = [(), ("a",), ("a", 1), ("a", "1"), ("a1",), (1, "a")]
    seeds = {derive_seed(seed, *name) for seed in range(50) for name in names}
    assert len(seeds) == 50 * len(names)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_settings_of_a_run_are_restored_even_after_an_error() -> None:
    def settings() -> tuple[object, ...]:
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cudnn.allow_tf32,
            torch.get_num_threads(),
        )

    before = settings()

    def fail() -> None:
        with deterministic(True, 1):
            assert settings() == (True, True, False, False, False, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert settings() == before
    with deterministic(False, 1, allow_tf32=True):
        assert settings() == (False, False, True, True, True, 1)
    assert settings() == before


@pytest.mark.parametrize("late", [False, True])
def test_denormals_are_flushed_on_every_thread_or_a_warning_says_why_not(late: bool) -> None:
    """In processes of their own: the setting is inherited when torch's threads are made, and never taken back."""
    script = f"""
import warnings, torch
from engine.determinism import deterministic
torch.set_num_threads(2)
if {late}:
    torch.ones(1 << 22).sum()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    with deterministic(True, 2):
        left = int((torch.full((1 << 22,), 1e-30) * 1e-12 != 0).sum())
print(left > 0, len(caught))
"""
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == (["True", "1"] if late else ["False", "0"])


def test_a_stopwatch_gives_each_part_its_time() -> None:
    watch = Stopwatch()
    watch.start()
    for _ in range(2):
        time.sleep(0.02)
        watch.lap("forward")
        time.sleep(0.01)
        watch.skip()
        watch.lap("backward")
    seconds = watch.seconds()
    assert seconds["forward"] >= 0.04
    assert 0 <= seconds["backward"] < 0.01
    resumed = Stopwatch()
    resumed.restore(seconds)
    with resumed.part("forward"):
        time.sleep(0.01)
    assert resumed.seconds()["forward"] >= seconds["forward"] + 0.01
    assert resumed.seconds()["backward"] == seconds["backward"]


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


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        (ReluNetSpec(width=100, depth=1), (17, 31, 64, 127, 128, 143, 250, 256)),
        (ReluNetSpec(width=40, depth=4), (18, 33, 96, 128, 143, 256)),
        (Vgg5Spec(width_multiplier=0.25), (17, 33, 128)),
    ],
    ids=["relu_net-100", "relu_net-40", "vgg5"],
)
def test_a_row_has_the_same_bits_in_any_batch_of_sixteen_or_more(
    model: ModelSpec, sizes: tuple[int, ...], num_threads: int
) -> None:
    """What the frozen-prefix cache rests on (CPU), and why a small last batch joins the one before it."""
    x = torch.randn(256, *DIGITS.shape, generator=torch.Generator().manual_seed(0))
    with deterministic(True, num_threads), torch.no_grad():
        net = build(model).eval()
        whole = net(x)
        for size in (SMALLEST_STABLE_BATCH, *sizes):
            chosen = torch.randperm(256, generator=torch.Generator().manual_seed(size))[:size]
            assert torch.equal(net(x[chosen]), whole[chosen]), size


class PositionalLayer(torch.nn.Module):
    """Gives the last row of a batch other bits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        y[-1] *= 1 + 1e-6
        return y


def test_a_layer_whose_rows_depend_on_their_place_is_found() -> None:
    net = build(ReluNetSpec(width=32, depth=3))
    x = torch.randn(143, *DIGITS.shape)
    with deterministic(True, 1):
        assert count_stable_layers(net, x, (16, 128, 143)) == 4
        net.layers[2].add_module("linear", PositionalLayer())
        assert count_stable_layers(net, x, (16, 128, 143)) == 2
    assert net.training


def test_a_narrow_unaligned_layer_is_never_called_stable_unless_it_is() -> None:
    """On some machines a width of 10 is stable and on some it is not; the answer must be true on each."""
    net = build(ReluNetSpec(width=10, depth=4))
    x = torch.randn(128, *DIGITS.shape)
    with deterministic(True, 1), torch.no_grad():
        level = count_stable_layers(net, x, (128,))
        for seed in range(5):
            order = torch.randperm(128, generator=torch.Generator().manual_seed(seed))
            assert torch.equal(net(x[order], 0, level), net(x, 0, level)[order])


@pytest.mark.parametrize("spec", [AdamSpec(), SgdSpec(weight_decay=5e-4)])
def test_a_layer_that_first_trains_late_starts_from_empty_buffers(spec: OptimizerSpec) -> None:
    """Fused against torch's plain loop over parameters, which begins each buffer on its own."""
    kind = torch.optim.Adam if isinstance(spec, AdamSpec) else torch.optim.SGD
    settings = spec.model_dump(exclude={"name", "beta1", "beta2"})
    weights = []
    for is_fused in (True, False):
        net = build(ReluNetSpec(width=6, depth=2))
        plain = kind(net.parameters(), foreach=False, **settings)
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
        assert torch.allclose(
            fused, looped, rtol=1e-5, atol=1e-7
        )  # the fused kernel rounds in another order
