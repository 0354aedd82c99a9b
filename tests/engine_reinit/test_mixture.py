"""Mixtures of theta_0 and theta_T, bit for bit, and their accuracy.

Each property is also shown to fail on a mutated engine.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.analysis import mixture
from engine.analysis.fractions import Mode, distinct_counts
from engine.analysis.mixture import Mixtures, Theta
from engine.analysis.movement import Ranking, rank_magnitudes
from engine.analysis.reinit import sweep_accuracies
from engine.data.resident import ResidentData, resident_data
from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from engine.experiments.registry import parse_spec
from engine.models.build import build_model
from engine.models.spec import ReluNetSpec, Vgg5Spec
from tests.engine_reinit.watched_context import SpecMaker, Sweep

FRACTIONS = (0.0, 0.3, 1.0, 10.0, 50.0, 99.0, 100.0)
MODES: tuple[Mode, Mode] = ("active", "lazy")
WITH_BUFFERS = Vgg5Spec(width_multiplier=0.03, batch_norm=True)


def make_mixtures(model: Any = WITH_BUFFERS, seed: int = 0) -> Mixtures:
    """Two random nets without an equal parameter."""
    net = build_model(model, BUILTIN_DATASETS["digits"])
    generator = torch.Generator().manual_seed(seed)
    thetas = [
        {
            name: torch.randn(tensor.shape, generator=generator)
            if tensor.is_floating_point()
            else tensor + step
            for name, tensor in net.state_dict().items()
        }
        for step in (0, 7)
    ]
    size = sum(parameter.numel() for parameter in net.parameters())
    theta_0, theta_T = thetas
    return Mixtures(net, theta_0, theta_T, distinct_counts(FRACTIONS, size))


def flat(mixtures: Mixtures) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in mixtures.net.parameters()])


def assert_ends_are_the_two_nets(mixtures: Mixtures | None = None) -> None:
    mixtures = mixtures or make_mixtures()
    last = len(mixtures.ranking.counts) - 1
    ends: tuple[tuple[Mode, int, Theta], ...] = (
        ("active", 0, mixtures.theta_T),
        ("active", last, mixtures.theta_R),
        ("lazy", 0, mixtures.theta_R),
        ("lazy", last, mixtures.theta_T),
    )
    for mode, position, theta in ends:
        mixtures.load(mode, position)
        state = mixtures.net.state_dict()
        assert state.keys() == theta.keys()
        assert all(torch.equal(state[name], theta[name]) for name in theta), (mode, position)


def test_all_layers_by_name_are_the_whole_net_with_its_buffers() -> None:
    whole = make_mixtures()
    every = torch.ones(whole.num_parameters, dtype=torch.bool)
    assert_ends_are_the_two_nets(
        Mixtures(whole.net, whole.theta_R, whole.theta_T, whole.ranking, every)
    )


def assert_active_resets_what_lazy_keeps() -> None:
    mixtures = make_mixtures()
    moved = (mixtures.flat_T - mixtures.flat_R).abs()
    for position, count in enumerate(mixtures.ranking.counts):
        mixtures.load("active", position)
        reset = flat(mixtures) == mixtures.flat_R
        mixtures.load("lazy", position)
        kept = flat(mixtures) == mixtures.flat_T
        assert torch.equal(reset, kept)
        assert int(reset.sum()) == count
        if 0 < count < len(moved):
            assert moved[reset].min() >= moved[~reset].max()


def assert_equal_movement_is_reset_by_index() -> None:
    net = build_model(ReluNetSpec(width=3), BUILTIN_DATASETS["digits"])
    zeros = {name: torch.zeros_like(tensor) for name, tensor in net.state_dict().items()}
    ones = {name: torch.ones_like(tensor) for name, tensor in net.state_dict().items()}
    mixtures = Mixtures(net, zeros, ones, (100, 500))
    for position, count in enumerate((100, 500)):
        mixtures.load("active", position)
        reset = (flat(mixtures) == 0).nonzero().flatten().tolist()
        assert reset == list(range(count))


def test_the_ends_are_the_trained_and_the_random_net_bit_for_bit() -> None:
    assert_ends_are_the_two_nets()


def test_active_gamma_resets_the_parameters_that_lazy_epsilon_keeps() -> None:
    assert_active_resets_what_lazy_keeps()


def test_ties_are_broken_by_index() -> None:
    assert_equal_movement_is_reset_by_index()


def test_ends_made_by_adding_the_movement_are_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    def mix_by_adding(
        self: Mixtures, mode: Mode, position: int, part: slice = slice(None)
    ) -> torch.Tensor:
        moves = (self.ranking.groups[part] > position) == (mode == "active")
        return self.flat_R[part] + torch.where(moves, self.flat_T[part] - self.flat_R[part], 0)

    monkeypatch.setattr(Mixtures, "mix", mix_by_adding)
    assert_ends_are_the_two_nets()  # the ends are not mixed
    monkeypatch.setattr(Mixtures, "end_of", lambda self, mode, position: None)
    with pytest.raises(AssertionError):
        assert_ends_are_the_two_nets()


def test_a_random_net_with_the_trained_net_s_buffers_is_detected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Mixtures, "end_of", lambda self, mode, position: None)
    with pytest.raises(AssertionError):
        assert_ends_are_the_two_nets()


def test_a_lazy_cut_one_group_off_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Mixtures.mix

    def mix_one_off(
        self: Mixtures, mode: Mode, position: int, part: slice = slice(None)
    ) -> torch.Tensor:
        return right(self, mode, position - 1 if mode == "lazy" else position, part)

    monkeypatch.setattr(Mixtures, "mix", mix_one_off)
    with pytest.raises(AssertionError):
        assert_active_resets_what_lazy_keeps()


def test_ties_broken_by_the_last_index_are_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    def rank_backwards(bits: torch.Tensor, counts: Any) -> Ranking:
        ranking = rank_magnitudes(bits.flip(0), counts)
        return Ranking(ranking.counts, ranking.groups.flip(0), ranking.num_tied)

    monkeypatch.setattr(mixture, "rank_magnitudes", rank_backwards)
    with pytest.raises(AssertionError):
        assert_equal_movement_is_reset_by_index()


def test_the_accuracies_of_a_toy_net_match_a_hand_computation() -> None:
    """theta_T passes (a, b) through: class 0 where a > b.

    In the order of movement the reset of W1[0, 0] (moved 4) sets the first unit to 0, W1[1, 1] (2)
    the second unit, W2[0, 0] (1) the first logit, and b2[1] (0.5) raises the second logit. Nothing
    else has moved.
    """
    info = DatasetInfo("toy", "toy", (1, 1, 2), 2, 2, 5, "generated")
    net = build_model(ReluNetSpec(width=2), info)
    names = [name for name, _ in net.named_parameters()]
    eye, none = torch.eye(2), torch.zeros(2)
    theta_T = dict(zip(names, (eye, none, eye, none), strict=True))
    bottom_0, top_0 = torch.diag(torch.tensor([-3.0, -1.0])), torch.diag(torch.tensor([0.0, 1.0]))
    theta_0 = dict(zip(names, (bottom_0, none, top_0, torch.tensor([0.0, 0.5])), strict=True))
    images = torch.tensor([[2.0, 1.0], [3.0, 1.0], [4.0, 1.0], [1.2, 1.0], [1.0, 2.0]]).view(
        5, 1, 1, 2
    )
    labels = torch.tensor([0, 0, 0, 0, 1])
    data = ResidentData(info, images, labels, images, labels, torch.zeros(1), "toy")
    mixtures = Mixtures(net, theta_0, theta_T, (0, 1, 2, 3, 4, 12))
    found = sweep_accuracies(mixtures, ReluNetSpec(width=2), data, MODES)
    assert mixtures.ranking.first(4).nonzero().flatten().tolist() == [0, 3, 6, 11]
    assert found["active"] == [1.0, 0.2, 0.8, 0.8, 0.2, 0.2]
    assert found["lazy"] == [0.2, 0.2, 0.2, 0.8, 1.0, 1.0]


@pytest.mark.parametrize(
    "model",
    [
        {"name": "relu_net", "width": 30, "depth": 1},
        {"name": "relu_net", "width": 20, "depth": 4},
        {"name": "conv_net", "width": 4, "depth": 2},
    ],
    ids=["d1", "d4", "conv"],
)
def test_the_sweep_agrees_with_the_nets_themselves(
    sweep: Sweep, make_spec: SpecMaker, model: dict[str, Any]
) -> None:
    """At most two images are classified differently, and none at the ends.

    The shared product sums in another order, so an image whose two best classes are equal up to
    rounding may change: at most one in 10,000, which is about one of 500 images in 11 inner
    mixtures of each mode.
    """
    fractions = (0.0, 0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 50.0, 75.0, 90.0, 100.0)
    (seed_result,), ctx = sweep(model=model, fractions_percent=fractions)
    spec = parse_spec(make_spec(model=model, fractions_percent=fractions))
    data = resident_data(spec.data, "cpu", ctx)
    net = build_model(spec.model, data.info)
    curves = {curve.mode: curve for curve in seed_result.curves}
    counts = distinct_counts(fractions, seed_result.num_parameters)
    mixtures = Mixtures(net, ctx.theta("theta_0", 0), ctx.theta("theta_T", 0), counts)
    flips = 0
    for mode in MODES:
        curve = curves[mode]
        for count, accuracy in zip(curve.counts, curve.test_accuracy, strict=True):
            mixtures.load(mode, counts.index(count))
            with torch.no_grad():
                plain = int((net(data.x_test).argmax(dim=1) == data.y_test).sum())
            flips += abs(round(accuracy * 500) - plain)
            if count in (0, seed_result.num_parameters):
                assert accuracy == plain / 500
    assert flips <= 2
    assert (
        curves["active"].test_accuracy[0]
        == curves["lazy"].test_accuracy[-1]
        == seed_result.test_accuracy
    )
    assert (
        curves["active"].test_accuracy[-1]
        == curves["lazy"].test_accuracy[0]
        == seed_result.initial_test_accuracy
    )
