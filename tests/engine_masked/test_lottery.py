"""The kind `lottery`: its counts and masks by hand, what stays 0, its controls and its checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.cost import estimate
from engine.data.resident import ResidentData, resident_data
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import InvalidSpec, RunInterrupted
from engine.experiments.lottery.result import LotteryPointResult, LotterySeedResult
from engine.experiments.lottery.run import run
from engine.experiments.lottery.spec import LotterySpec
from engine.experiments.lottery.tickets import Tickets
from engine.experiments.registry import get_kind, parse_spec, presets
from engine.kind import FinishedPoint
from engine.models.layout import layout
from engine.training.loop import train
from engine.training.outcome import TrainedSeed
from tests.engine_masked.small_runs import DATA, equal_bits, make_context

KIND = get_kind("lottery")
DIGITS = BUILTIN_DATASETS["digits"]
NET = {"name": "mlp", "widths": [4, 3]}


def make_spec(**parts: Any) -> LotterySpec:
    body = {"kind": "lottery", "data": DATA, "batch_size": 32, "epochs": 2, "model": NET}
    spec = parse_spec({**body, "rounds": 2, "prune_percent": 50, **parts})
    assert isinstance(spec, LotterySpec)
    return spec


class Prepared:
    """The training of the whole net and the rounds of its seed."""

    def __init__(self, spec: LotterySpec, folder: Path) -> None:
        self.spec, self.ctx = spec, make_context(folder)
        (self.trained,) = train(spec, self.ctx)
        self.data: ResidentData = resident_data(spec.data, torch.device("cpu"), self.ctx)
        self.kept: dict[str, Tensor] = {}

    def begin(self) -> Tickets:
        return Tickets(self.spec, self.ctx, self.data, self.trained, self.kept)


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    return Prepared(make_spec(), tmp_path)


def places(mask: Tensor) -> list[int]:
    return mask.reshape(-1).nonzero().squeeze(1).tolist()


def test_the_largest_weights_of_each_tensor_are_left(prepared: Prepared) -> None:
    """Of 12 weights 6, then 3; the top layer loses a quarter: of 30 weights 22, then 16.

    22 = 30 - round(7.5), which is 8 to even; 16 = 22 - round(5.5), which is 6.
    """
    names = [name for name in prepared.trained.theta_T if name.endswith("weight")]
    theta_T = prepared.trained.theta_T
    magnitudes = [0.5, -3.0, 0.0, 2.0, -2.0, 1.0, 0.25, -0.75, 2.0, 0.125, 4.0, -0.5]
    theta_T[names[1]] = torch.tensor(magnitudes).view(3, 4)
    theta_T[names[2]] = torch.arange(30.0).view(10, 3)
    theta_T[names[0]][0, 0] = float("nan")
    tickets = prepared.begin()
    first = tickets.masks(1)
    assert places(first[names[1]]) == [1, 3, 4, 5, 8, 10]
    assert places(first[names[2]]) == list(range(8, 30))
    assert bool(first[names[0]][0, 0])
    again = {name: torch.zeros_like(one) for name, one in theta_T.items()}
    again[names[1]] = torch.tensor([9.0, 0.0, 9.0, -1.0, 1.0, 1.0, 9.0, 9.0, 0.5, 9.0, 0.0, 9.0])
    again[names[1]] = again[names[1]].view(3, 4)
    prepared.trained.theta_T.update(again)
    tickets.prune(1, prepared.trained)
    second = tickets.masks(2)
    assert places(second[names[1]]) == [3, 4, 5]
    assert places(second[names[2]]) == list(range(8, 24))
    assert not bool((second[names[0]] & ~first[names[0]]).any())


def test_counts_are_those_of_the_source() -> None:
    """LeNet-300-100: the shares of its Figure 3 are 51.3, 21.1 and 3.6 %."""
    body = dict(presets()["lottery", "paper"].body["spec"])
    spec = parse_spec(body)
    assert isinstance(spec, LotterySpec)
    left = spec.count_left(layout(spec.model, BUILTIN_DATASETS["mnist"]))
    assert left[0] == 784 * 300 + 300 * 100 + 100 * 10 == 266_200
    shares = [round(100 * one / left[0], 1) for one in left]
    assert (shares[1], shares[3], shares[7], shares[15]) == (80.0, 51.3, 21.1, 3.6)
    by_tensor = list(spec.list_left(layout(spec.model, BUILTIN_DATASETS["mnist"])).values())
    assert [one[1] for one in by_tensor] == [188_160, 24_000, 900]


def test_the_ticket_starts_at_the_rewound_weights_and_its_controls_do_not(
    prepared: Prepared,
) -> None:
    tickets, trained = prepared.begin(), prepared.trained
    ticket, fresh, random = (tickets.start(one, 1) for one in ("ticket", "fresh", "random"))
    masks = tickets.masks(1)
    for name, mask in masks.items():
        expected = torch.where(mask, trained.theta_0[name], torch.zeros(()))
        assert torch.equal(ticket.theta[name], expected)
        assert torch.equal(ticket.movable[name], mask)
        assert torch.equal(fresh.movable[name], mask)
        assert bool((fresh.theta[name] != ticket.theta[name])[mask].any())
        assert not bool(fresh.theta[name][~mask].any())
        assert int(random.movable[name].sum()) == int(mask.sum())
        assert not torch.equal(random.movable[name], mask)
        drawn = random.movable[name]
        assert torch.equal(random.theta[name][drawn], trained.theta_0[name][drawn])
    assert all(
        bool(one.movable[name].all())
        for one in (ticket, fresh, random)
        for name in trained.theta_0
        if name not in masks
    )


@pytest.mark.parametrize("rewind", [0, 4])
def test_pruned_weights_stay_zero_and_a_killed_run_gives_the_same(
    rewind: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6 steps a training, two rounds of three trainings; weight decay and momentum would move."""
    spec = make_spec(
        rewind_step=rewind,
        optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    )
    ends: dict[tuple[str, int], TrainedSeed] = {}
    starts: dict[tuple[str, int], Any] = {}
    ran = Tickets.start

    def watched(self: Tickets, series: Any, number: int) -> Any:
        starts[series, number] = ran(self, series, number)
        return starts[series, number]

    monkeypatch.setattr(Tickets, "start", watched)
    pruned = Tickets.prune

    def watched_prune(self: Tickets, number: int, trained: TrainedSeed) -> None:
        ends["ticket", number] = trained
        pruned(self, number, trained)

    monkeypatch.setattr(Tickets, "prune", watched_prune)
    whole = run(spec, make_context(tmp_path / "whole"))
    for number in (1, 2):
        start, end = starts["ticket", number], ends["ticket", number]
        assert start.step == rewind
        assert starts["fresh", number].step == 0
        for name, movable in start.movable.items():
            assert not bool(end.theta_T[name][~movable].any()), name
        left = sum(int((end.theta_T[name] != 0).sum()) for name in spec.list_left(_layers(spec)))
        assert left <= spec.count_left(_layers(spec))[number]
        assert not equal_bits(end.theta_T, dict(start.theta))
    ends_whole = dict(ends)
    for stop in range(1, 200, 5):
        ctx = make_context(tmp_path / "killed")
        ctx.stop_at = stop
        try:
            found = run(spec, ctx)
            break
        except RunInterrupted:
            continue
    assert equal_bits(ends["ticket", 2].theta_T, ends_whole["ticket", 2].theta_T)
    assert _without_times(found) == _without_times(whole)


def _layers(spec: LotterySpec) -> Any:
    return layout(spec.model, DIGITS)


def _without_times(results: Any) -> list[Any]:
    timed = {"timings", "pruned_seconds"}
    return [one.model_dump(exclude=timed) for one in results]


def test_a_gain_is_paired_by_seed_and_a_sentence_tells_the_answer(tmp_path: Path) -> None:
    (result,) = run(make_spec(), make_context(tmp_path))
    assert isinstance(result, LotterySeedResult)
    ticket, fresh, random = result.curves
    assert ticket.counts == fresh.counts == random.counts == (1_596, 803)
    assert result.num_weights == 784 * 4 + 12 + 30
    given = [
        result.model_copy(
            update={
                "test_accuracy": whole,
                "curves": tuple(
                    curve.model_copy(update={"test_accuracy": (0.0, one), "stop_epoch": (None, 2)})
                    for curve, one in zip(result.curves, (0.75, 0.5, 0.25), strict=True)
                ),
            }
        )
        for whole in (0.5, 1.0)
    ]
    (point,) = KIND.summarize([FinishedPoint(0, {}, make_spec(), given)])
    assert isinstance(point, LotteryPointResult)
    assert [one.gain[1].mean for one in point.curves] == [0.0, -0.25, -0.5]
    assert point.curves[0].stop_epoch[0] is None
    columns = KIND.read_answer(point)
    assert (columns[0].name, columns[0].title) == (
        "accuracy_of_ticket_2",
        "accuracy of the rewound net, 25.3 % left",
    )
    assert KIND.tell(point.model_dump(mode="json")) == (
        "With 25.3 % of the weights left, the rewound net reaches 75.0 %, a fresh draw with its "
        "mask 50.0 %, a random mask 25.0 %, the whole net 75.0 % test accuracy (2 seeds)."
    )


def test_the_cost_counts_every_training_from_where_it_starts() -> None:
    """6 steps: from step 3 the ticket and the random mask train half as long."""
    spec = make_spec(rewind_step=3)
    fields = ("data", "batch_size", "epochs", "model")
    plain = parse_spec({**spec.model_dump(mode="json", include=set(fields)), "kind": "train"})
    one = estimate(plain, 1, DIGITS).train_flops
    assert estimate(spec, 1, DIGITS).train_flops == (1 + 2 * (0.5 + 1 + 0.5)) * one
    (told,) = spec.describe_work(DIGITS)
    assert told.startswith("each seed trains 7 times")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidSpec) as caught:
        make_spec(
            controls=["fresh", "fresh"],
            init={"name": "checkpoint", "checkpoint": "run/theta_T"},
        )
    assert {(one.pointer, one.code) for one in caught.value.errors} == {
        ("#/spec/controls/1", "repeated"),
        ("#/spec/controls", "no-fresh-draw"),
    }
    with pytest.raises(InvalidSpec) as caught:
        make_spec(prune_percent=100, rounds=0, output_prune_percent=0, rewind_step=-1)
    assert {one.pointer for one in caught.value.errors} == {
        "#/spec/prune_percent",
        "#/spec/rounds",
        "#/spec/output_prune_percent",
        "#/spec/rewind_step",
    }
    (error,) = make_spec(rewind_step=6).check_data(DIGITS)[-1:]
    assert (error.pointer, error.code) == ("#/spec/rewind_step", "beyond-the-training")
    assert make_spec(rewind_step=5).check_data(DIGITS) == []
