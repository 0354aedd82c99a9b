"""Policies of the field: what they draw, equal bits where they equal full training, refusals."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from math import cos, pi
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from engine.data.bounds import batch_bounds
from engine.data.load import load_dataset
from engine.data.resident import epoch_order
from engine.data.spec import BUILTIN_DATASETS
from engine.determinism import deterministic
from engine.errors import InvalidSpec
from engine.experiments.lws.spec import LwsSpec
from engine.experiments.registry import parse_spec
from engine.models.build import build_model
from engine.models.layout import layout
from engine.models.spec import MlpSpec, ReluNetSpec, Vgg5Spec
from engine.spec import Execution
from engine.spec_checks import check_spec
from engine.training.cost_shares import expect_shares
from engine.training.layer_schedule import EpochSchedule, StepSchedule, draw_schedule
from engine.training.learner import Learner
from engine.training.loop import train
from engine.training.losses import AutogradLoss, LinearLoss, find_linear_parts
from engine.training.policies import (
    FreezeBottomUpPolicy,
    FreezeOutPolicy,
    GradualUnfreezePolicy,
    LisaPolicy,
    PolicySpec,
    SchedulePolicy,
    TopKAllBottomsPolicy,
    title_of,
)
from tests.engine_lws.runner import Runner, SpecMaker
from tests.engine_lws.test_lws_exactness import assert_equal

DIGITS = BUILTIN_DATASETS["digits"]
MODELS: dict[str, dict[str, Any]] = {
    "relu_net": {"name": "relu_net", "width": 12, "depth": 3},
    "conv_net": {"name": "conv_net", "width": 4, "depth": 3},
    "mlp": {"name": "mlp", "widths": [9, 8, 7], "activation": "gelu", "norm": "layer"},
}
"""Nets of four layers"""
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
ADAMW = {"name": "adamw", "weight_decay": 0.1, "decay": "matrices"}
COSINE = {"name": "cosine"}
POLICIES: list[dict[str, Any]] = [
    {"name": "lisa", "m": 1, "draw_every": {"steps": 3}},
    {"name": "lisa", "m": 1, "draw_every": {"epochs": 2}},
    {"name": "freeze_out", "t0": 0.4},
    {"name": "freeze_out", "t0": 0.4, "spacing": "linear", "scaled": False},
    {"name": "freeze_bottom_up"},
    {"name": "freeze_bottom_up", "every": {"steps": 7}},
    {"name": "gradual_unfreeze"},
    {"name": "gradual_unfreeze", "every": {"steps": 7}},
    {"name": "schedule", "table": [{"epoch": 1, "layers": [1, 3]}, {"epoch": 3, "layers": [3]}]},
    {"name": "bias"},
    {"name": "top_k_all_bottoms", "k": 1, "rho": 0.5, "draw_every": {"steps": 4}},
    {"name": "random_uniform", "draw_every": {"epochs": 2}},
]


def policy(**fields: object) -> PolicySpec:
    return TypeAdapter(PolicySpec).validate_python(fields)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("optimizer", [SGD, ADAMW], ids=lambda one: one["name"])
@pytest.mark.parametrize(
    "everything",
    [
        {"name": "lisa", "m": 2, "draw_every": {"steps": 3}},
        {"name": "freeze_out", "t0": 1.0},
        {"name": "freeze_out", "t0": 1.0, "spacing": "linear", "scaled": False},
        {"name": "schedule"},
        {"name": "schedule", "table": [{"epoch": 1, "layers": [0, 1, 2, 3]}]},
        {"name": "prob_top_k_bottom_q", "k": 2, "q": 2, "rho": 1.0, "draw_every": {"steps": 2}},
    ],
    ids=str,
)
def test_a_policy_that_trains_everything_is_full_training_bit_for_bit(
    runner: Runner,
    make_spec: SpecMaker,
    model: str,
    optimizer: dict[str, Any],
    everything: dict[str, Any],
) -> None:
    parts = {"model": MODELS[model], "optimizer": optimizer, "schedule": COSINE, "epochs": 3}
    _, full = runner.run(make_spec(policy={"name": "full"}, **parts))
    _, other = runner.run(make_spec(policy=everything, **parts))
    assert_equal(runner.theta(full), runner.theta(other))
    assert full.metrics() == other.metrics()


@pytest.mark.parametrize("requested", POLICIES, ids=str)
def test_the_cache_changes_no_bit_and_a_training_resumed_at_any_step_has_equal_bits(
    runner: Runner, make_spec: SpecMaker, requested: dict[str, Any]
) -> None:
    parts = {"model": MODELS["conv_net"], "optimizer": SGD, "schedule": COSINE, "epochs": 4}
    spec = make_spec(policy=requested, **parts)
    _, whole = runner.run(spec)
    _, plain = runner.run(spec, prefix_cache=False)
    assert_equal(runner.theta(whole), runner.theta(plain))
    assert whole.metrics() == plain.metrics()
    for stop_before in (2, 7, 10, 15):
        _, resumed = runner.run(spec, stop_before=stop_before)
        assert_equal(runner.theta(whole), runner.theta(resumed))
        assert whole.metrics() == resumed.metrics()


@pytest.mark.parametrize(
    "requested",
    [
        {"name": "freeze_out", "t0": 0.2},
        {"name": "freeze_bottom_up"},
        {"name": "freeze_bottom_up", "every": {"steps": 4}},
        {"name": "gradual_unfreeze", "every": {"epochs": 3}},
        {"name": "schedule", "table": [{"epoch": 1}, {"epoch": 2, "layers": [3]}]},
    ],
    ids=str,
)
def test_the_cache_serves_what_freezes_from_below(
    runner: Runner, make_spec: SpecMaker, requested: dict[str, Any]
) -> None:
    spec = make_spec(policy=requested, model=MODELS["conv_net"], schedule=COSINE, epochs=6)
    (found,), _ = runner.run(spec)
    assert found.timings.cache_seconds > 0
    assert found.notes == ()


class Movement:
    """Notes which layers each step changes."""

    def __init__(self) -> None:
        self.moved: list[set[int]] = []
        self._before: dict[str, Tensor] = {}

    def __call__(self, learner: Learner, step: int) -> None:
        now = learner.parameters(0)
        changed = {
            int(name.split(".")[1])
            for name, value in now.items()
            if self._before and not torch.equal(value, self._before[name])
        }
        self.moved.append(changed)
        self._before = now

    def capture(self) -> dict[str, Tensor]:
        return {}

    def restore(self, tensors: Any) -> None:
        raise AssertionError


@pytest.mark.parametrize("requested", [one for one in POLICIES if one["name"] != "bias"], ids=str)
def test_a_step_changes_the_layers_of_the_schedule_and_no_others(
    runner: Runner, make_spec: SpecMaker, requested: dict[str, Any]
) -> None:
    spec = make_spec(
        policy=requested, model=MODELS["mlp"], optimizer=SGD, schedule=COSINE, epochs=4
    )
    steps = spec.steps_per_epoch(DIGITS)
    schedule = draw_schedule(spec.policy, 4, 4, 0, steps)
    hook = Movement()
    train(spec, runner.context(), draw_schedule=lambda seed, info: schedule, on_step=hook)
    expected = [set(schedule.at(*divmod(step, steps))) for step in range(1, 4 * steps)]
    assert hook.moved[1:] == expected


def test_lisa_trains_the_ends_and_draws_each_middle_layer_equally_often() -> None:
    schedule = draw_schedule(LisaPolicy(m=2), 7, 10, 3, steps_per_epoch=20_000)
    assert isinstance(schedule, StepSchedule)
    assert schedule.starts == tuple(range(0, 200_000, 20))
    assert all({0, 6} < layers and len(layers) == 4 for layers in schedule.trained)
    counts = Counter(layer for layers in schedule.trained for layer in layers)
    for layer in range(1, 6):
        # five standard deviations of a binomial count of 10,000 draws
        assert abs(counts[layer] - 4_000) < 5 * (10_000 * 0.4 * 0.6) ** 0.5


def test_the_draws_of_a_seed_are_the_same_by_epoch_and_by_step() -> None:
    by_epoch = draw_schedule(TopKAllBottomsPolicy(rho=0.5), 5, 12, 0)
    by_steps = draw_schedule(
        TopKAllBottomsPolicy.model_validate({"rho": 0.5, "draw_every": {"steps": 4}}), 5, 3, 0, 16
    )
    assert by_steps.trained == by_epoch.trained
    by_epochs = draw_schedule(
        TopKAllBottomsPolicy.model_validate({"rho": 0.5, "draw_every": {"epochs": 2}}), 5, 5, 0
    )
    assert by_epochs.trained == tuple(by_epoch.trained[epoch // 2] for epoch in range(5))


def test_freeze_out_ends_layers_by_the_formula_of_its_paper() -> None:
    cubic = draw_schedule(FreezeOutPolicy(t0=0.8), 5, 10, 0, steps_per_epoch=100)
    assert isinstance(cubic, StepSchedule)
    shares = [0.8**3, 0.85**3, 0.9**3, 0.95**3, 1.0]
    assert cubic.ends == tuple(round(1000 * share) for share in shares)
    assert cubic.scales == pytest.approx([1 / share for share in shares])
    assert cubic.starts == (0, 512, 614, 729, 857)
    assert [min(layers) for layers in cubic.trained] == [0, 1, 2, 3, 4]
    assert [cubic.lowest(epoch) for epoch in range(10)] == [0, 0, 0, 0, 0, 0, 1, 2, 3, 4]
    plain = FreezeOutPolicy(t0=0.5, spacing="linear", scaled=False)
    linear = draw_schedule(plain, 5, 10, 0, steps_per_epoch=100)
    assert isinstance(linear, StepSchedule)
    assert linear.ends == (500, 625, 750, 875, 1000)
    assert linear.scales == (1.0,) * 5


def test_layers_freeze_from_the_bottom_and_join_from_the_top() -> None:
    def lowest(requested: PolicySpec, epochs: int, steps: int = 1) -> list[int]:
        schedule = draw_schedule(requested, 4, epochs, 0, steps)
        return [schedule.lowest(epoch) for epoch in range(epochs)]

    assert lowest(FreezeBottomUpPolicy(), 8) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert lowest(FreezeBottomUpPolicy(), 2) == [0, 2]
    one = FreezeBottomUpPolicy.model_validate({"every": {"epochs": 1}})
    assert lowest(one, 6) == [0, 1, 2, 3, 3, 3]
    assert lowest(GradualUnfreezePolicy(), 6) == [3, 2, 1, 0, 0, 0]
    steps = GradualUnfreezePolicy.model_validate({"every": {"steps": 3}})
    # a layer joins at steps 3, 6 and 9, in epochs of 4 steps
    assert lowest(steps, 3, 4) == [2, 1, 0]
    frozen = FreezeBottomUpPolicy.model_validate({"every": {"steps": 3}})
    assert lowest(frozen, 4, 4) == [0, 1, 2, 3]


def test_a_table_holds_from_row_to_row() -> None:
    table = [
        {"epoch": 1, "layers": [2]},
        {"epoch": 3, "layers": "all"},
        {"epoch": 4, "layers": [0]},
    ]
    schedule = draw_schedule(policy(name="schedule", table=table), 3, 5, 0)
    top, every, bottom = frozenset({2}), frozenset({0, 1, 2}), frozenset({0})
    assert schedule.trained == (top, top, every, bottom, bottom)


def test_freeze_out_is_a_plain_loop_with_a_rate_for_each_layer_bit_for_bit(
    runner: Runner, make_spec: SpecMaker, tmp_path: Path
) -> None:
    spec = make_spec(
        policy={"name": "freeze_out", "t0": 0.5},
        model=MODELS["mlp"],
        optimizer=SGD,
        schedule=COSINE,
    )
    _, ctx = runner.run(spec)
    data = load_dataset(
        spec.data, data_dir=tmp_path, allow_download=False, registered=lambda name: None
    )
    net = build_model(spec.model, DIGITS)
    net.load_state_dict(runner.theta(ctx, "theta_0"))
    bounds = batch_bounds(300, spec.batch_size)
    total = 5 * len(bounds)
    shares = [0.5**3, (0.5 + 0.5 / 3) ** 3, (0.5 + 1 / 3) ** 3, 1.0]
    groups: list[dict[str, Any]] = [
        {"params": list(layer.parameters()), "share": share}
        for layer, share in zip(net.layers, shares, strict=True)
    ]
    optimizer = torch.optim.SGD(
        groups, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01, fused=True
    )
    for group in groups:
        for parameter in group["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    done = 0
    with deterministic(num_threads=1):
        for epoch in range(5):
            order = epoch_order(0, epoch, 300)
            for start, stop in bounds:
                net.zero_grad()
                chosen = order[start:stop]
                loss = nn.functional.cross_entropy(net(data.x_train[chosen]), data.y_train[chosen])
                loss.backward()  # type: ignore[no-untyped-call]
                for group in optimizer.param_groups:
                    end = round(group["share"] * total)
                    group["lr"] = 0.05 * ((1 + cos(pi * done / end)) / 2) * (1 / group["share"])
                    if done >= end:
                        for parameter in group["params"]:
                            parameter.grad = None
                optimizer.step()
                done += 1
    assert [round(share * total) for share in shares] == [3, 7, 14, 25]
    for name, value in runner.theta(ctx).items():
        assert torch.equal(value, net.state_dict()[name]), name


def moved_parameters(runner: Runner, spec: LwsSpec) -> set[str]:
    _, ctx = runner.run(spec)
    before, after = runner.theta(ctx, "theta_0"), runner.theta(ctx)
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("head", [True, False])
def test_only_biases_or_only_norms_move(runner: Runner, make_spec: SpecMaker, head: bool) -> None:
    parts = {"model": MODELS["mlp"], "optimizer": SGD, "epochs": 2}
    top = {"layers.3.linear.weight", "layers.3.linear.bias"} if head else set()
    biases = {f"layers.{layer}.linear.bias" for layer in range(4)}
    shifts = {f"layers.{layer}.norm.bias" for layer in range(3)}
    scales = {f"layers.{layer}.norm.weight" for layer in range(3)}
    spec = make_spec(policy={"name": "bias", "head": head}, **parts)
    assert moved_parameters(runner, spec) == biases | shifts | top
    spec = make_spec(policy={"name": "norm", "head": head}, **parts)
    assert moved_parameters(runner, spec) == scales | shifts | top


@pytest.mark.parametrize("model", ["relu_net", "conv_net"])
def test_biases_alone_move_as_by_autograd(
    runner: Runner, make_spec: SpecMaker, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hand-written backward of linear layers leaves out the gradients of weights."""
    spec = make_spec(model=MODELS[model], policy={"name": "bias"}, optimizer=SGD, epochs=2)
    _, by_hand = runner.run(spec)
    monkeypatch.setattr("engine.training.module_learner.find_linear_parts", lambda *_: None)
    _, by_autograd = runner.run(spec)
    assert_equal(runner.theta(by_hand), runner.theta(by_autograd))


def test_the_hand_written_loss_computes_only_the_gradients_of_parameters_that_train() -> None:
    net = build_model(ReluNetSpec(width=6, depth=2), DIGITS)
    for parameter in net.parameters():
        nn.init.normal_(parameter.requires_grad_(parameter.dim() == 1))
    x, y = torch.rand(5, *DIGITS.shape), torch.arange(5)
    parts = find_linear_parts(net, 0)
    assert parts is not None
    found = []
    for loss in (LinearLoss(parts, x, y), AutogradLoss(net, 0, x, y)):
        net.zero_grad()
        loss.backward()
        found.append([parameter.grad for parameter in net.parameters()])
    for parameter, ours, theirs in zip(net.parameters(), *found, strict=True):
        assert (ours is None) == (parameter.dim() > 1)
        assert ours is None or (theirs is not None and torch.equal(ours, theirs))


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"policy": {"name": "lisa", "m": 3}}, {"#/spec/policy/m"}),
        ({"policy": {"name": "lisa"}, "model": {"name": "relu_net"}}, {"#/spec/policy/name"}),
        (
            {"policy": {"name": "schedule", "table": [{"epoch": 1, "layers": [4, 0, 9]}]}},
            {"#/spec/policy/table/0/layers/0", "#/spec/policy/table/0/layers/2"},
        ),
        (
            {"policy": {"name": "schedule", "table": [{"epoch": 1}, {"epoch": 9}]}},
            {"#/spec/policy/table/1/epoch"},
        ),
        (
            {"policy": {"name": "schedule", "table": [{"epoch": 2}, {"epoch": 2}]}},
            {"#/spec/policy/table/0/epoch", "#/spec/policy/table/1/epoch"},
        ),
        ({"policy": {"name": "norm"}}, {"#/spec/policy/name"}),
        ({"policy": {"name": "freeze_out"}}, {"#/spec/schedule/name"}),
        (
            {"policy": {"name": "freeze_out"}, "schedule": {"name": "cosine", "final": 0.1}},
            {"#/spec/schedule/final"},
        ),
        ({"policy": {"name": "freeze_out", "t0": 0}, "schedule": COSINE}, {"#/spec/policy/t0"}),
    ],
    ids=lambda one: json.dumps(sorted(one) if isinstance(one, set) else one),
)
def test_a_policy_that_does_not_fit_is_refused_at_its_field(
    fields: dict[str, Any], pointers: set[str]
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec({"kind": "lws", "model": MODELS["conv_net"], "epochs": 8, **fields})
    assert {error.pointer for error in caught.value.errors} == pointers


def test_more_draws_than_a_schedule_can_hold_are_refused() -> None:
    fields = {"kind": "lws", "model": MODELS["conv_net"], "epochs": 10_000, "batch_size": 64}
    lisa = {"name": "lisa", "draw_every": {"steps": 1}}
    (error,) = check_spec(parse_spec({**fields, "policy": lisa}), DIGITS)
    assert error.pointer == "#/spec/policy/draw_every/steps"
    assert error.code == "too-many-draws"
    lisa["draw_every"] = {"steps": 20}
    assert check_spec(parse_spec({**fields, "policy": lisa}), DIGITS) == []


@pytest.mark.parametrize("name", ["gradual_unfreeze", "freeze_bottom_up"])
def test_a_schedule_that_follows_the_layers_has_no_more_periods_than_layers(name: str) -> None:
    schedule = draw_schedule(policy(name=name, every={"steps": 1}), 5, 10_000, 0, 10**6)
    assert isinstance(schedule, StepSchedule)
    assert schedule.starts == (0, 1, 2, 3, 4)
    last = {"gradual_unfreeze": 0, "freeze_bottom_up": 4}[name]
    assert [schedule.lowest(epoch) for epoch in (1, 9_999)] == [last, last]


def test_drawing_each_epoch_is_what_earlier_versions_did() -> None:
    execution = Execution()
    for name in ("top_k_all_bottoms", "prob_top_k_bottom_q", "random_uniform", "random_beta"):
        plain = LwsSpec(policy=policy(name=name))
        written = LwsSpec(policy=policy(name=name, draw_every={"epochs": 1}))
        other = LwsSpec(policy=policy(name=name, draw_every={"steps": 9}))
        assert plain.digest() == written.digest() != other.digest()
        identities = [one.training_spec_digest(execution) for one in (plain, written, other)]
        assert identities[0] == identities[1] != identities[2]
        assert "draw_every" not in plain.training_spec()["policy"]


EQUAL = tuple(replace(layer, forward_flops=1) for layer in layout(ReluNetSpec(depth=3), DIGITS))
"""Four layers of one FLOP: vanilla SGD takes 4 forward and 7 backward."""


@pytest.mark.parametrize(
    ("requested", "epochs", "backward", "forward"),
    [
        ({"name": "lisa", "m": 1}, 10, 3 + 3, 4),
        ({"name": "lisa", "m": 2}, 10, 7, 4),
        # 4, 3, 2, 1 layers train for a quarter each; a pass starts at the epoch before
        ({"name": "freeze_bottom_up"}, 4, (7 + 5 + 3 + 1) / 4, (4 + 4 + 3 + 2) / 4),
        ({"name": "gradual_unfreeze"}, 4, (1 + 3 + 5 + 7) / 4, (4 + 2 + 3 + 4) / 4),
        ({"name": "schedule", "table": [{"epoch": 1, "layers": [2]}]}, 5, 2, (4 + 4 * 2) / 5),
        ({"name": "bias", "head": False}, 5, 3, 4),
        ({"name": "bias", "head": True}, 5, 4, 4),
        ({"name": "freeze_out", "t0": 0.25, "spacing": "linear"}, 4, (7 + 5 + 3 + 1) / 4, 13 / 4),
    ],
    ids=str,
)
def test_shares_match_a_hand_computation(
    requested: dict[str, Any], epochs: int, backward: float, forward: float
) -> None:
    shares = expect_shares(policy(**requested), EQUAL, epochs, keeps_prefix=True, steps_per_epoch=6)
    assert shares.backward == pytest.approx(backward / 7)
    assert shares.train == pytest.approx((forward + backward) / 11)


@pytest.mark.parametrize("every", [{"epochs": 3}, {"steps": 2}, {"steps": 20}])
def test_shares_of_other_periods_match_drawn_schedules(every: dict[str, int]) -> None:
    drawn = policy(name="random_uniform", draw_every=every)
    schedule = draw_schedule(drawn, 4, 4_000, 0, 10)
    lowest = [schedule.lowest(epoch) for epoch in range(4_000)]
    starts = [4 - min(pair) for pair in pairwise(lowest)]
    shares = expect_shares(drawn, EQUAL, 10**6, keeps_prefix=True, steps_per_epoch=10)
    forward = shares.train * 11 - shares.backward * 7
    assert forward == pytest.approx(sum(starts) / len(starts), rel=0.05)


@pytest.mark.parametrize(
    "requested",
    [*(one for one in POLICIES if one["name"] != "schedule"), {"name": "schedule"}],
    ids=str,
)
def test_a_training_without_epochs_has_a_cost_and_a_result(
    runner: Runner, make_spec: SpecMaker, requested: dict[str, Any]
) -> None:
    spec = make_spec(policy=requested, model=MODELS["conv_net"], schedule=COSINE, epochs=0)
    assert spec.work(DIGITS).train_fraction > 0
    (found,), _ = runner.run(spec)
    assert sum(found.epochs_by_lowest_layer) == 0


def test_titles_tell_policies_apart() -> None:
    titles = [title_of(policy(**one)) for one in POLICIES]
    assert len(set(titles)) == len(POLICIES)
    assert title_of(LisaPolicy()) == "LISA 1 (every 20 steps)"
    assert title_of(FreezeOutPolicy(t0=0.5)) == "FreezeOut (t0 = 0.5)"
    assert title_of(SchedulePolicy()) == "Schedule of 1 row"


def test_a_norm_policy_finds_the_parameters_of_batch_norm() -> None:
    layers = layout(Vgg5Spec(batch_norm=True), DIGITS)
    schedule = draw_schedule(policy(name="norm"), 5, 2, 0, 1, layers)
    assert isinstance(schedule, EpochSchedule)
    assert schedule.parameters is not None
    assert all(".norm" in name for name in schedule.parameters)
    assert len(schedule.parameters) == 2 * (4 * 2 + 2 + 1)
    assert not schedule.is_full
    none = MlpSpec(norm="none")
    with pytest.raises(InvalidSpec):
        parse_spec({"kind": "lws", "model": none.model_dump(), "policy": {"name": "norm"}})
