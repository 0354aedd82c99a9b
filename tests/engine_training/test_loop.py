"""The loop: both learners agree, stacked seeds are independent, resuming gives equal bits."""

from __future__ import annotations

from fractions import Fraction
from math import comb, log
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from engine.context import ResumeState
from engine.errors import RunInterrupted
from engine.experiments.registry import parse_spec
from engine.local import LocalRunContext
from engine.spec import Execution
from engine.training.loop import train
from engine.training.outcome import (
    ACCURATE,
    CHANCE_LEVEL,
    EXPLAINED,
    TrainedSeed,
    explains_labels,
    is_at_chance,
    judge_outcome,
)

SMALL: dict[str, Any] = {"name": "digits", "train_size": 500, "test_size": 200}


def make_context(folder: Path, seeds: list[int], *, stack: bool = True) -> LocalRunContext:
    return LocalRunContext(
        folder,
        seeds,
        Execution(device="cpu", stack_seeds=stack),
        data_dir=folder,
        save_every_seconds=1e9,
    )


def make_spec(**changes: Any) -> Any:
    return parse_spec({"kind": "train", "data": SMALL, "epochs": 2, **changes})


def assert_equal_bits(ours: TrainedSeed, theirs: TrainedSeed) -> None:
    for name, tensor in theirs.theta_T.items():
        assert torch.equal(ours.theta_T[name], tensor), name


class Interrupting(LocalRunContext):
    """Saves and is interrupted at every `every`-th step."""

    every = 3
    steps = 0

    def should_save(self) -> bool:
        self.steps += 1
        return self.steps % self.every == 0

    def save_resume(self, resume: ResumeState) -> None:
        super().save_resume(resume)
        raise RunInterrupted


def interrupted(folder: Path, seeds: list[int], *, stack: bool) -> Interrupting:
    execution = Execution(device="cpu", stack_seeds=stack)
    return Interrupting(folder, seeds, execution, data_dir=folder)


STACKED = [
    # (width, depth, batch size): odd widths, deep nets, all kinds of last batches, one single batch
    (1, 1, 128),
    (7, 1, 100),
    (30, 4, 128),
    (33, 3, 499),
    (100, 1, 128),
    (100, 2, 33),
    (257, 1, 500),
    (64, 8, 250),
]


@pytest.mark.parametrize("optimizer", [{"name": "adam"}, {"name": "sgd", "weight_decay": 5e-4}])
@pytest.mark.parametrize(("width", "depth", "batch_size"), STACKED)
def test_the_stacked_learner_agrees_with_autograd(
    tmp_path: Path, optimizer: dict[str, Any], width: int, depth: int, batch_size: int
) -> None:
    model = {"name": "relu_net", "width": width, "depth": depth}
    spec = make_spec(model=model, optimizer=optimizer, batch_size=batch_size, epochs=1)
    stacked = train(spec, make_context(tmp_path / "stacked", [0, 1]))
    single = train(spec, make_context(tmp_path / "single", [0, 1], stack=False))
    for ours, theirs in zip(stacked, single, strict=True):
        for name, tensor in theirs.theta_T.items():
            # the hand-written backward sums in another order, in float32
            distance = (ours.theta_T[name] - tensor).abs()
            if optimizer["name"] == "sgd":
                assert distance.max() <= 1e-5, name
            else:  # Adam divides by the gradient, which magnifies the difference where it is near 0
                assert (distance > 1e-5).double().mean() <= 1e-5, name
                assert distance.max() <= 2e-5, name


@pytest.mark.parametrize("optimizer", [{"name": "adam"}, {"name": "sgd"}])
@pytest.mark.parametrize("stack", [True, False])
@pytest.mark.parametrize(("width", "depth", "batch_size"), STACKED[::3])
def test_both_learners_are_deterministic(
    tmp_path: Path, optimizer: dict[str, Any], stack: bool, width: int, depth: int, batch_size: int
) -> None:
    model = {"name": "relu_net", "width": width, "depth": depth}
    spec = make_spec(model=model, optimizer=optimizer, batch_size=batch_size, epochs=1)
    first, second = (
        train(spec, make_context(tmp_path / name, [0, 1], stack=stack)) for name in "ab"
    )
    for ours, theirs in zip(first, second, strict=True):
        assert_equal_bits(ours, theirs)


@pytest.mark.parametrize("width", [7, 50])
def test_a_seeds_bits_do_not_depend_on_the_seeds_stacked_with_it(
    tmp_path: Path, width: int
) -> None:
    spec = make_spec(model={"name": "relu_net", "width": width, "depth": 4})
    together = train(spec, make_context(tmp_path / "together", [0, 1, 2]))
    alone = train(spec, make_context(tmp_path / "alone", [1]))
    assert_equal_bits(together[1], alone[0])


@pytest.mark.parametrize(
    ("model", "stack"),
    [
        ({"name": "relu_net", "width": 20, "depth": 2}, True),
        ({"name": "relu_net", "width": 20, "depth": 2}, False),
        ({"name": "vgg5", "width_multiplier": 0.05, "batch_norm": True}, False),
    ],
)
@pytest.mark.parametrize("optimizer", [{"name": "adam"}, {"name": "sgd"}, {"name": "adamw"}])
def test_a_training_interrupted_at_any_step_gives_equal_bits(
    tmp_path: Path, model: dict[str, Any], stack: bool, optimizer: dict[str, Any]
) -> None:
    data = {**SMALL, "train_size": 300}
    schedule = {"name": "cosine", "warmup": {"steps": 3}}
    spec = make_spec(model=model, optimizer=optimizer, schedule=schedule, data=data)
    undisturbed = make_context(tmp_path / "undisturbed", [0, 1], stack=stack)
    expected = train(spec, undisturbed)
    attempts = 0
    while True:
        attempts += 1
        ctx = interrupted(tmp_path / "interrupted", [0, 1], stack=stack)
        try:
            found = train(spec, ctx)
            break
        except RunInterrupted:
            continue
    assert attempts > 2
    for ours, theirs in zip(found, expected, strict=True):
        assert_equal_bits(ours, theirs)
        assert ours.reused_from is None
    assert ctx.metrics() == undisturbed.metrics()


def test_training_a_convolutional_net_is_deterministic(tmp_path: Path) -> None:
    spec = make_spec(model={"name": "conv_net", "width": 4, "depth": 2})
    first, second = (train(spec, make_context(tmp_path / name, [3]))[0] for name in "ab")
    assert_equal_bits(first, second)
    assert first.test_accuracy == second.test_accuracy


def test_too_high_a_learning_rate_gives_the_outcome_not_finite(tmp_path: Path) -> None:
    spec = make_spec(
        optimizer={"name": "sgd", "lr": 100.0}, model={"name": "relu_net", "width": 20, "depth": 4}
    )
    ctx = make_context(tmp_path / "run", [0])
    (trained,) = train(spec, ctx)
    assert trained.outcome == "not_finite"
    assert any(event["name"] == "training.not_finite" for event in ctx.events)


def test_the_chance_threshold_depends_on_the_size_of_the_test_set() -> None:
    assert is_at_chance(100, 1000, 100)
    assert is_at_chance(128, 1000, 100)
    assert not is_at_chance(131, 1000, 100)
    assert not is_at_chance(1280, 10_000, 1000)


def test_the_chance_test_is_exact_on_small_test_sets() -> None:
    """Of 4 balanced examples of 2 classes, all are right by guessing with probability 1/16."""
    assert is_at_chance(4, 4, 2)
    assert is_at_chance(9, 9, 5), "(5/9)^9 = 0.005"
    assert not is_at_chance(12, 12, 6), "2^-12 = 0.0002"


@pytest.mark.parametrize("right", range(41))
def test_the_chance_test_equals_the_sum_of_binomial_terms(right: int) -> None:
    share = Fraction(29, 40)
    tail = sum(comb(40, k) * share**k * (1 - share) ** (40 - k) for k in range(right, 41))
    assert is_at_chance(right, 40, 29) == (tail >= Fraction(CHANCE_LEVEL))


def test_naming_the_largest_class_of_an_unbalanced_test_set_is_at_chance() -> None:
    labels = torch.tensor([0] * 180 + [1] * 20)
    assert judge(0.9, labels) == "at_chance"
    assert judge(0.97, labels) == "trained"
    assert judge(0.97, labels, is_finite=False) == "not_finite"
    one_class = torch.zeros(50, dtype=torch.long)
    assert judge(1.0, one_class) == "at_chance"


def test_an_accurate_net_with_the_loss_of_a_constant_answer_is_at_chance() -> None:
    """Always answering "1" scores 0.1135 on MNIST; an untrained net may score more."""
    labels = torch.arange(10).repeat(1000)
    constant = log(10)
    for accuracy in (0.1, 0.1135, 0.19):
        assert judge(accuracy, labels, test_loss=constant, train_loss=constant) == "at_chance"
    assert judge(0.19, labels, test_loss=None, train_loss=None) == "at_chance"
    assert judge(0.19, labels, test_loss=2.2, train_loss=None) == "at_chance", "4 % of the entropy"
    assert judge(0.19, labels, test_loss=2.1, train_loss=None) == "trained"
    assert judge(0.97, labels, test_loss=5.0, train_loss=0.01) == "trained", "overconfident"
    assert judge(0.97, labels, test_loss=0.1, train_loss=9.0) == "trained", "an unstable epoch"


def test_an_accurate_net_with_small_logits_is_trained() -> None:
    """One epoch of few examples: half of the answers are right, and no loss tells it."""
    labels = torch.arange(10).repeat(1000)
    limit = 0.1 + ACCURATE * 0.9
    for accuracy, outcome in ((0.5, "trained"), (limit + 0.02, "trained"), (limit, "at_chance")):
        assert judge(accuracy, labels, test_loss=2.25, train_loss=2.6) == outcome
    small = torch.arange(10).repeat(3)
    assert judge(0.4, small, test_loss=2.25, train_loss=2.6) == "at_chance", "12 of 30 may be luck"
    few = torch.arange(3).repeat(1000)
    assert judge(0.9, few, test_loss=1.08, train_loss=1.2) == "at_chance", "not measured there"


def judge(
    accuracy: float,
    labels: Tensor,
    *,
    is_finite: bool = True,
    test_loss: float | None = 0.0,
    train_loss: float | None = 0.0,
) -> str:
    return judge_outcome(
        is_finite=is_finite,
        test_accuracy=accuracy,
        test_loss=test_loss,
        train_loss=train_loss,
        test_labels=labels,
        train_labels=labels,
    )


@pytest.mark.parametrize("shares", [(0.1,) * 10, (0.9, 0.1), (0.5, 0.3, 0.2)])
def test_no_constant_answer_explains_the_labels(shares: tuple[float, ...]) -> None:
    counts = [round(1000 * share) for share in shares]
    labels = torch.repeat_interleave(torch.arange(len(shares)), torch.tensor(counts))
    best = cross_entropy(torch.tensor(shares).log().expand(len(labels), -1), labels).item()
    assert not explains_labels(best, labels)
    assert explains_labels((1 - EXPLAINED) * best - 1e-6, labels)
    assert not explains_labels((1 - EXPLAINED) * best + 1e-6, labels)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"name": "relu_net", "width": 10}},
        {"model": {"name": "relu_net", "width": 100}},
        {"model": {"name": "relu_net", "width": 100, "depth": 4}},
        {"model": {"name": "relu_net", "width": 100}, "init": {"name": "xavier", "gain": 0.4}},
    ],
    ids=["10", "100", "deep", "small gain"],
)
@pytest.mark.parametrize("normalization", ["unit", "standardize"])
def test_200_untrained_nets_are_all_at_chance(
    tmp_path: Path, changes: dict[str, Any], normalization: str
) -> None:
    data = {"name": "digits", "normalization": normalization}
    spec = make_spec(**{"data": data, "epochs": 0, **changes})
    seeds = list(range(200))
    trained = train(spec, make_context(tmp_path / "run", seeds))
    assert {one.outcome for one in trained} == {"at_chance"}
    lucky = [one for one in trained if one.test_accuracy > 0.15]
    assert lucky, "by accuracy alone some would pass"
    assert max(one.test_accuracy for one in trained) < 0.1 + ACCURATE * 0.9, "and no rule is near"
