"""Table 1 prints differences to the full net from Xavier, also those of pretrained nets."""

from __future__ import annotations

from typing import Any

import pytest

from engine.experiments.lws.published import list_published
from engine.experiments.lws.result import LwsPointResult, LwsSeedResult, summarize_points
from engine.experiments.lws.table_text import tabulate
from engine.experiments.registry import get_kind, parse_spec
from engine.kind import FinishedPoint
from engine.paper.comparison import compare
from engine.result import Timings

XAVIER, PRETRAINED = {"name": "xavier"}, {"name": "pretrained"}
FULL = {"name": "full"}
MIXED = {"name": "top_k_all_bottoms", "k": 4, "rho": 0.1}


def make_point(index: int, init: dict[str, Any], policy: dict[str, Any], accuracy: float) -> Any:
    spec = {
        "kind": "lws",
        "model": {"name": "vgg11"},
        "data": {"name": "cifar10"},
        "init": init,
        "policy": policy,
    }
    results = [
        LwsSeedResult(
            seed=seed,
            outcome="trained",
            test_accuracy=accuracy + offset,
            initial_test_accuracy=0.1,
            train_loss=0.1,
            timings=Timings(backward_seconds=1.0 + index + seed),
            epochs_by_lowest_layer=(1,) + (0,) * 10,
            cumulative_backward_seconds=(1.0,),
            cumulative_train_seconds=(1.0,),
        )
        for seed, offset in enumerate((0.0, 0.01, -0.01 * (index + 1)))
    ]
    return FinishedPoint(index, {"init": init, "policy": policy}, parse_spec(spec), results)


POINTS = [
    make_point(0, XAVIER, FULL, 0.90),
    make_point(1, PRETRAINED, FULL, 0.92),
    make_point(2, PRETRAINED, MIXED, 0.91),
]


def test_a_pretrained_net_has_both_differences() -> None:
    of_xavier, of_full, of_mixed = summarize_points(POINTS)
    assert isinstance(of_mixed, LwsPointResult)
    assert isinstance(of_full, LwsPointResult)
    assert isinstance(of_xavier, LwsPointResult)
    assert of_mixed.difference is not None
    assert of_mixed.difference_to_xavier is not None
    assert of_mixed.difference.mean == pytest.approx(-0.01 - 0.01 / 3)
    assert of_mixed.difference_to_xavier.mean == pytest.approx(0.01 - 0.02 / 3)
    assert of_full.difference is not None
    assert of_full.difference.mean == 0
    assert of_full.difference_to_xavier is not None
    assert of_full.difference_to_xavier.mean == pytest.approx(0.02 - 0.01 / 3)
    assert of_xavier.difference_to_xavier == of_xavier.difference


def test_without_the_net_from_xavier_there_is_no_difference_to_it() -> None:
    *_, last = summarize_points(POINTS[1:])
    assert isinstance(last, LwsPointResult)
    assert last.difference is not None
    assert last.difference_to_xavier is None


def test_the_published_difference_stands_beside_ours_to_the_same_net() -> None:
    numbers = {one.quantity: one for one in list_published(POINTS[2].spec)}
    assert "full net from Xavier" in numbers["difference_to_xavier"].printed
    found = compare(get_kind("lws"), POINTS, summarize_points(POINTS)).published
    (ours,) = (
        one.ours
        for one in found
        if one.quantity == "difference_to_xavier" and one.point["policy"] == MIXED
    )
    assert ours is not None
    assert ours.mean == pytest.approx(0.01 - 0.02 / 3)


def test_the_table_shows_both_differences_and_says_what_a_ratio_is() -> None:
    rows = [
        {
            **{
                name: None if value is None else value.model_dump()
                for name in (
                    "test_accuracy",
                    "difference",
                    "difference_to_xavier",
                    "backward_seconds",
                    "backward_ratio",
                    "train_ratio",
                )
                for value in [getattr(result, name)]
            },
            "policy": "policy",
            "setting": "",
            "outcome": "trained",
            "n": 3,
            "published_test_accuracy": 0.9,
            "published_difference": -0.01,
            "published_backward_seconds": 1.0,
            "published_backward_ratio": 0.2,
        }
        for result in summarize_points(POINTS)
    ]
    table = tabulate({"title": "Table 1", "points": rows, "departures": []})
    assert "To Xavier" in [column.heading for column in table.columns]
    notes = " ".join(table.notes)
    assert "mean of one ratio a measurement" in notes
    assert "ratios are of mean times" in notes
