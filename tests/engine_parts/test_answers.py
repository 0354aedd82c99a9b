"""The numbers that answer each kind's question, against results written by hand."""

from __future__ import annotations

from typing import Any

from engine.answers import AnswerColumn, list_columns, list_statistics, make_column
from engine.experiments.registry import kinds
from engine.result import Statistic


def statistic(mean: float) -> dict[str, Any]:
    return {"mean": mean, "standard_error": 0.1, "ci95": [mean - 0.2, mean + 0.2], "n": 3}


def read(kind: str, **fields: Any) -> dict[str, AnswerColumn]:
    point = {"test_accuracy": statistic(0.9), "initial_test_accuracy": statistic(0.1), **fields}
    return {column.name: column for column in kinds()[kind].read_answer(point)}


def means(columns: dict[str, AnswerColumn]) -> dict[str, float | None]:
    return {
        name: None if column.statistic is None else column.statistic.mean
        for name, column in columns.items()
    }


def curve(mode: str, accuracies: dict[float, float]) -> dict[str, Any]:
    return {
        "mode": mode,
        "fractions_percent": list(accuracies),
        "test_accuracy": [statistic(value) for value in accuracies.values()],
    }


def test_a_kind_without_an_answer_gives_every_statistic_with_the_unit_of_its_name() -> None:
    point: dict[str, Any] = {
        "seeds": [0],
        "test_accuracy": statistic(0.5),
        "losses": [statistic(1.0)],
        "train_loss": statistic(2.0),
        "sweep_seconds": statistic(3.0),
        "note": None,
    }
    assert list_statistics(point) == [
        AnswerColumn(
            "test_accuracy",
            "test accuracy",
            "accuracy",
            Statistic(mean=0.5, standard_error=0.1, ci95=(0.3, 0.7), n=3),
            "higher",
        ),
        make_column("train_loss", value=statistic(2.0), unit="loss", better="lower"),
        make_column("sweep_seconds", value=statistic(3.0), unit="seconds", better="lower"),
    ]


def test_columns_of_points_are_joined_in_order() -> None:
    a, b, c = (make_column(name) for name in "abc")
    assert list_columns([[a, b], [c, a], []]) == [a, b, c]


def test_a_training_answers_with_accuracy_loss_and_time() -> None:
    found = read("train", train_loss=None, timings={"train_seconds": statistic(4.0)})
    assert means(found) == {
        "test_accuracy": 0.9,
        "train_loss": None,
        "initial_test_accuracy": 0.1,
        "train_seconds": 4.0,
    }


def test_a_sweep_answers_with_its_low_point_and_the_fractions_of_interest_that_were_swept() -> None:
    active = curve("active", {0: 0.9, 0.1: 0.5, 1: 0.06, 3: 0.05, 10: 0.05, 30: 0.08, 100: 0.01})
    lazy = curve("lazy", {0: 0.1, 0.1: 0.2, 5: 0.3, 100: 0.9})
    found = read("reinit_sweep", curves=[active, lazy], layers=[])
    assert means(found) == {
        "low_point": 0.05,
        "low_point_percent": 3,
        "accuracy_at_gamma_0.1": 0.5,
        "accuracy_at_gamma_1": 0.06,
        "accuracy_at_gamma_10": 0.05,
        "accuracy_at_epsilon_0.1": 0.2,
        "test_accuracy": 0.9,
        "initial_test_accuracy": 0.1,
    }
    assert found["low_point_percent"].unit == "percent"
    assert found["accuracy_at_epsilon_0.1"].title == "accuracy at epsilon = 0.1 %"


def test_a_sweep_of_layers_answers_with_the_accuracy_without_each() -> None:
    layers = [{"name": "layers.0", "test_accuracy": statistic(0.2)}]
    random = curve("random", {0: 0.9, 1: 0.8, 100: 0.1})
    assert list(means(read("reinit_sweep", curves=[random], layers=layers)).items())[:2] == [
        ("accuracy_at_random_gamma_1", 0.8),
        ("accuracy_without_layers.0", 0.2),
    ]


def test_a_spectrum_answers_with_shares_at_its_last_step_and_at_those_before() -> None:
    steps = [
        {"step": 1, "share_of_norm": {"0.1": statistic(0.2), "1": statistic(0.4)}},
        {"step": 1000, "share_of_norm": {"0.1": statistic(0.3), "1": statistic(0.5)}},
    ]
    found = read("gradient_spectrum", steps=steps)
    assert means(found) == {
        "share_of_norm_1": 0.5,
        "share_of_norm_0.1": 0.3,
        "share_of_norm_10": None,
        "share_of_norm_1_at_step_1": 0.4,
        "test_accuracy": 0.9,
    }
    assert found["share_of_norm_1"].title == "squared norm in the top 1 %, last step"
    assert list(read("gradient_spectrum", steps=[]))[:1] == ["share_of_norm_1"]


def test_an_activity_map_answers_with_shares_by_layer_the_alpha_nearest_to_1_first() -> None:
    layers = [
        {"name": name, "share": {"0.5": statistic(share), "30": None}}
        for name, share in (("layers.0", 0.7), ("layers.1", 0.3))
    ]
    assert means(read("activity_map", alphas_percent=[0.5, 30.0], layers=layers)) == {
        "share_of_layers.0_at_alpha_0.5": 0.7,
        "share_of_layers.1_at_alpha_0.5": 0.3,
        "share_of_layers.0_at_alpha_30": None,
        "share_of_layers.1_at_alpha_30": None,
        "test_accuracy": 0.9,
    }


def test_layer_wise_sparse_sgd_answers_with_differences_and_ratios_to_full() -> None:
    fields = {
        "difference": statistic(-0.01),
        "difference_to_xavier": statistic(-0.01),
        "backward_seconds": statistic(1.0),
        "backward_ratio": statistic(0.5),
        "train_seconds": statistic(2.0),
        "train_ratio": None,
    }
    found = read("lws", **fields)
    assert means(found) == {
        "test_accuracy": 0.9,
        "difference": -0.01,
        "backward_seconds": 1.0,
        "backward_ratio": 0.5,
        "train_seconds": 2.0,
        "train_ratio": None,
    }
    other = read("lws", **fields | {"difference_to_xavier": statistic(-0.02)})
    assert means(other)["difference_to_xavier"] == -0.02
    assert other["difference_to_xavier"].unit == "difference"
