"""Labels of points name what differs, with all digits that tell numbers apart."""

from __future__ import annotations

from typing import Any

import pytest

from engine.labels import MAX_LETTERS, format_number, label_points

ADAM = {"name": "adam", "lr": 0.001, "beta1": 0.9, "beta2": 0.999}
SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9}


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([{}], [""]),
        ([{"model.width": 1000}], ["width 1,000"]),
        (
            [{"optimizer.lr": 0.3}, {"optimizer.lr": 0.1 + 0.2}],
            ["lr 0.3", "lr 0.30000000000000004"],
        ),
        ([{"a.lr": 1e-5}, {"a.lr": 123456789.0}], ["lr 1e-05", "lr 123456789"]),
        ([{"a": 1, "same": 5}, {"a": 2, "same": 5}], ["a 1", "a 2"]),
        (
            [{"a.name": 1, "b.name": 2}, {"a.name": 2, "b.name": 3}],
            ["a.name 1, b.name 2", "a.name 2, b.name 3"],
        ),
        ([{"optimizer": ADAM}, {"optimizer": SGD}], ["optimizer adam", "optimizer sgd"]),
        ([{"optimizer": ADAM}, {"optimizer": ADAM | {"lr": 0.01}}], ["lr 0.001", "lr 0.01"]),
        (
            [{"optimizer": ADAM}, {"optimizer": SGD}, {"optimizer": SGD | {"lr": 0.2}}],
            ["optimizer adam", "optimizer sgd (lr=0.1)", "optimizer sgd (lr=0.2)"],
        ),
        (
            [{"r": {"name": "init"}}, {"r": {"name": "step", "step": 20}}],
            ["r init", "r step 20"],
        ),
        (
            [{"r": {"name": "init"}}, *({"r": {"name": "step", "step": n}} for n in (1, 2))],
            ["r init", "r step 1", "r step 2"],
        ),
        ([{"o": {"name": "a"}}, {"o": {"name": "a", "lr": 0.1}}], ["o a", "o a (lr=0.1)"]),
        (
            [{"o": {"name": "a", "s": {"k": 1}}}, {"o": {"name": "a", "s": {"k": 2}}}],
            ["s.k 1", "s.k 2"],
        ),
        (
            [{"a": True}, {"a": None}, {"a": [1, 2.5]}, {"a": "x"}],
            ["a true", "a null", "a [1, 2.5]", "a x"],
        ),
    ],
)
def test_labels_name_what_differs(values: list[dict[str, Any]], labels: list[str]) -> None:
    assert label_points(values) == labels


def test_equal_points_have_equal_labels_and_others_never_do() -> None:
    assert label_points([{"a": 1}, {"a": 1}, {"a": 2}]) == ["a 1", "a 1", "a 2"]
    long = [{"a": "x" * 100 + end + "y" * 100} for end in "123"]
    labels = label_points(long)
    assert len(set(labels)) == 3
    assert all(len(label) < MAX_LETTERS + 10 for label in labels)


@pytest.mark.parametrize("number", [0.1, 1 / 3, 1e-300, 1e22, 100.0, -0.5, 5e-324])
def test_a_number_keeps_its_value(number: float) -> None:
    assert float(format_number(number)) == number
