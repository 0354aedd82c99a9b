"""Sweeps: the product of the axes in the order given, and errors at the wrong values."""

from __future__ import annotations

import pytest

from engine.errors import InvalidSpec
from engine.sweep import expand, num_points


def test_points_are_the_product_in_the_order_given() -> None:
    points = expand({"kind": "train"}, {"model.width": [10, 20], "epochs": [1, 2]})
    assert [point.values for point in points] == [
        {"model.width": 10, "epochs": 1},
        {"model.width": 10, "epochs": 2},
        {"model.width": 20, "epochs": 1},
        {"model.width": 20, "epochs": 2},
    ]
    assert points[2].spec.epochs == 1


def test_without_axes_there_is_one_point() -> None:
    (point,) = expand({"kind": "train"}, {})
    assert point.values == {}


def test_every_wrong_value_has_an_error_with_its_index() -> None:
    with pytest.raises(InvalidSpec) as caught:
        expand({"kind": "train"}, {"model.width": [10, 0, -1], "epochs": [5, "x"]})
    pointers = {error.pointer for error in caught.value.errors}
    assert pointers == {"#/sweep/model.width/1", "#/sweep/model.width/2", "#/sweep/epochs/1"}


def test_an_unknown_path_and_an_empty_axis_are_reported_together() -> None:
    with pytest.raises(InvalidSpec) as caught:
        expand({"kind": "train"}, {"model.nothing.deep": [1], "epochs": []})
    assert {error.code for error in caught.value.errors} == {"unknown-path", "empty-axis"}


def test_points_are_counted_without_expanding_the_sweep() -> None:
    assert num_points({"a": list(range(1000)), "b": list(range(1000))}) == 1_000_000


@pytest.mark.parametrize(
    ("sweep", "pointers"),
    [
        ({"model.width": [4, 5, 4]}, {"#/sweep/model.width/2"}),
        ({"optimizer.lr": [1, 1.0]}, {"#/sweep/optimizer.lr/1"}),
        (
            {"optimizer": [{"name": "adam"}, {"name": "adam", "lr": 0.001}]},
            {"#/sweep/optimizer/1"},
        ),
        ({"model.width": [4, 4], "epochs": [1, 2]}, {"#/sweep/model.width/1"}),
    ],
)
def test_two_values_that_give_the_same_spec_are_refused(
    sweep: dict[str, list[object]], pointers: set[str]
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        expand({"kind": "train"}, sweep)
    assert {error.pointer for error in caught.value.errors} == pointers
    assert {error.code for error in caught.value.errors} == {"duplicate-value"}
