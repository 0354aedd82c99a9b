"""The kind `sparse_train`: its masks by hand, its counts, its answer and its checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.answer_table import tabulate_answers
from engine.cost import estimate
from engine.data.resident import epoch_order, resident_data
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import InvalidSpec
from engine.experiments.registry import get_kind, parse_spec
from engine.experiments.sparse_train.masks import Masks
from engine.experiments.sparse_train.result import SparseTrainPointResult, SparseTrainSeedResult
from engine.experiments.sparse_train.run import run
from engine.experiments.sparse_train.spec import SparseTrainSpec
from engine.findings import describe_findings
from engine.kind import FinishedPoint
from engine.training.loop import train
from engine.training.outcome import TrainedSeed
from tests.engine_masked.small_runs import ALONE, DATA, STACKED, make_context

KIND = get_kind("sparse_train")
DIGITS = BUILTIN_DATASETS["digits"]


def make_spec(**parts: Any) -> SparseTrainSpec:
    body = {"kind": "sparse_train", "data": DATA, "batch_size": 32, "epochs": 2, "model": STACKED}
    spec = parse_spec({**body, **parts})
    assert isinstance(spec, SparseTrainSpec)
    return spec


@pytest.fixture
def trained(tmp_path: Path) -> TrainedSeed:
    (found,) = train(make_spec(), make_context(tmp_path))
    return found


def make_masks(spec: SparseTrainSpec, trained: TrainedSeed, folder: Path) -> Masks:
    data = resident_data(spec.data, torch.device("cpu"), make_context(folder))
    return Masks(spec, data, trained)


def test_the_entries_that_moved_most_may_move_and_ties_go_by_index(
    trained: TrainedSeed, tmp_path: Path
) -> None:
    """p = 784 * 5 + 5 + 5 * 5 + 5 + 5 * 10 + 10; entries 3,920 to 3,924 are the first biases."""
    start = {name: torch.zeros_like(one) for name, one in trained.theta_0.items()}
    end = {name: one.clone() for name, one in start.items()}
    biases = [name for name, one in start.items() if one.dim() == 1]
    end[biases[0]][2] = -3.0
    end[biases[1]][4] = 2.0
    end[biases[0]][0] = 1.0
    end[biases[2]][9] = 1.0
    trained.theta_0.update(start)
    trained.theta_T.update(end)
    masks = make_masks(make_spec(), trained, tmp_path)

    def chosen(count: int) -> list[int]:
        return masks.choose("movement", count).nonzero().squeeze(1).tolist()

    assert chosen(1) == [3_922]
    assert chosen(2) == [3_922, 3_954]
    assert chosen(3) == [3_920, 3_922, 3_954]
    assert chosen(4) == [3_920, 3_922, 3_954, 4_014]
    assert chosen(5) == [0, 3_920, 3_922, 3_954, 4_014]
    assert masks.count_in_layers("movement", 5) == [3, 1, 1]


def test_gradient_times_weight_is_that_of_the_first_batches(
    trained: TrainedSeed, tmp_path: Path
) -> None:
    """Against a plain computation in float64, on the net without hidden units' kinks nearby."""
    spec = make_spec(masks=["gradient_weight"], gradient_batches=2)
    masks = make_masks(spec, trained, tmp_path)
    data = resident_data(spec.data, torch.device("cpu"), make_context(tmp_path))
    order = epoch_order(0, 0, len(data.y_train))
    weights = [one.double().numpy() for one in trained.theta_0.values()]
    total = [np.zeros_like(one) for one in weights]
    for batch in (order[:32], order[32:64]):
        x = data.x_train[batch].reshape(32, -1).double().numpy()
        inputs = [x]
        for layer in range(2):
            inputs.append(np.maximum(inputs[-1] @ weights[2 * layer].T + weights[2 * layer + 1], 0))
        logits = inputs[-1] @ weights[4].T + weights[5]
        delta = np.exp(logits - logits.max(1, keepdims=True))
        delta /= delta.sum(1, keepdims=True)
        delta[np.arange(32), data.y_train[batch].numpy()] -= 1
        delta /= 32
        for layer in (2, 1, 0):
            total[2 * layer] += delta.T @ inputs[layer] / 2
            total[2 * layer + 1] += delta.sum(0) / 2
            delta = (delta @ weights[2 * layer]) * (inputs[layer] > 0)
    score = np.abs(np.concatenate([(g * w).ravel() for g, w in zip(total, weights, strict=True)]))
    expected = set(np.argsort(-score)[:200].tolist())
    found = set(masks.choose("gradient_weight", 200).nonzero().squeeze(1).tolist())
    assert len(expected & found) >= 199  # sums in float32 may swap the two at the cut


def test_random_masks_hold_each_other_and_differ_by_seed(
    trained: TrainedSeed, tmp_path: Path
) -> None:
    masks = make_masks(make_spec(), trained, tmp_path)
    few, many = masks.choose("random", 10), masks.choose("random", 400)
    assert (int(few.sum()), int(many.sum()), bool((few & ~many).any())) == (10, 400, False)
    assert torch.equal(many, make_masks(make_spec(), trained, tmp_path).choose("random", 400))


def test_a_layer_s_share_is_of_its_own_parameters(trained: TrainedSeed, tmp_path: Path) -> None:
    shares = [{"layer": "layers.1", "percent": 50}, {"layer": "layers.2"}]
    spec = make_spec(masks=["by_layer"], layer_shares=shares)
    masks = make_masks(spec, trained, tmp_path)
    assert masks.count_in_layers("by_layer", 75) == [0, 15, 60]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[SparseTrainSeedResult]:
    spec = make_spec(
        masks=["movement", "random", "by_layer"],
        shares_percent=[0, 0.01, 10, 100],
        layer_shares=[{"layer": "layers.2"}],
    )
    found = run(spec, make_context(tmp_path_factory.mktemp("run"), (0, 1)))
    return [one for one in found if isinstance(one, SparseTrainSeedResult)]


def test_the_ends_of_a_curve_are_the_initial_and_the_plain_net(
    results: list[SparseTrainSeedResult],
) -> None:
    for result in results:
        movement, random, by_layer = result.curves
        assert movement.counts == random.counts == (0, 0, 402, 4_015)
        assert by_layer.counts == (60,)
        assert by_layer.shares_percent == (100 * 60 / 4_015,)
        for curve in (movement, random):
            assert curve.test_accuracy[:2] == (result.initial_test_accuracy,) * 2
            assert curve.test_accuracy[3] == result.test_accuracy


def test_the_time_that_a_stack_of_seeds_shares_is_one_measurement(tmp_path: Path) -> None:
    for model, stacked in ((STACKED, 2), (ALONE, 1)):
        spec = make_spec(model=model, shares_percent=(10.0,), masks=("movement",))
        ctx = make_context(tmp_path / str(stacked), seeds=(0, 1))
        found = [one for one in run(spec, ctx) if isinstance(one, SparseTrainSeedResult)]
        assert [one.stacked_seeds for one in found] == [stacked] * 2
        (point,) = KIND.summarize([FinishedPoint(0, {}, spec, found)])
        assert isinstance(point, SparseTrainPointResult)
        assert point.masked_seconds.n == 2 / stacked


def test_the_loss_is_paired_by_seed_and_a_sentence_tells_the_answer(
    results: list[SparseTrainSeedResult],
) -> None:
    spec = make_spec()
    given = [
        results[0].model_copy(
            update={
                "test_accuracy": whole,
                "curves": (
                    results[0].curves[0].model_copy(update={"test_accuracy": (0, 0, one, 1)}),
                    results[0].curves[1].model_copy(update={"test_accuracy": (0, 0, 0.5, 1)}),
                ),
            }
        )
        for whole, one in ((0.75, 0.5), (1.0, 0.875))
    ]
    (point,) = KIND.summarize([FinishedPoint(0, {}, spec, given)])
    assert isinstance(point, SparseTrainPointResult)
    assert point.curves[0].loss[2].mean == (0.25 + 0.125) / 2
    assert point.curves[0].test_accuracy[2].mean == 0.6875
    columns = {one.name: one for one in KIND.read_answer(point)}
    assert next(iter(columns)) == "accuracy_at_movement_10"
    assert columns["loss_at_random_10"].title == "accuracy lost training 10 % drawn at random"
    stored = point.model_dump(mode="json")
    told = KIND.tell(stored)
    table = tabulate_answers("t", [stored], [KIND.read_answer(point)], [], [told])
    assert describe_findings(table)[0] == told
    assert told == (
        "Training the 10 % that move most gives 68.8 %, 10 % drawn at random 50.0 %, all 87.5 % "
        "test accuracy (2 seeds)."
    )


def test_the_cost_counts_a_whole_training_for_each_mask_and_share() -> None:
    spec, info = make_spec(shares_percent=[0, 1, 10, 100]), DIGITS
    plain = parse_spec({**make_spec().model_dump(mode="json", include={"data"}), "kind": "train"})
    plain = plain.model_copy(update={"model": spec.model, "epochs": 2, "batch_size": 32})
    one = estimate(plain, 1, info)
    assert estimate(spec, 1, info).train_flops == 5 * one.train_flops
    assert estimate(spec, 1, info).evaluation_flops == 5 * one.evaluation_flops
    assert estimate(spec, 1, info, num_loaded=1).train_flops == 4 * one.train_flops
    (told,) = spec.describe_work(info)
    assert told.startswith("each seed trains 5 times")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidSpec) as caught:
        make_spec(
            masks=["movement", "movement"],
            shares_percent=[10, 1],
            layer_shares=[{"layer": "layers.7"}, {"layer": "layers.7"}],
            gradient_batches=3,
        )
    assert {(one.pointer, one.code) for one in caught.value.errors} == {
        ("#/spec/masks/1", "repeated"),
        ("#/spec/shares_percent/1", "not-ascending"),
        ("#/spec/layer_shares", "mask-and-shares"),
        ("#/spec/layer_shares/0/layer", "no-such-layer"),
        ("#/spec/layer_shares/1/layer", "no-such-layer"),
        ("#/spec/layer_shares/1/layer", "repeated"),
        ("#/spec/gradient_batches", "no-effect"),
    }
    spec = make_spec(masks=["gradient_weight"], gradient_batches=4)
    (error,) = spec.check_data(DIGITS)
    assert (error.pointer, error.code) == ("#/spec/gradient_batches", "beyond-the-epoch")
