"""The few points of a large sweep that a figure draws."""

from __future__ import annotations

import pytest

from engine.errors import InvalidSpec
from engine.plot_numbers import read_points
from engine.point_choice import MAX_CHOSEN, choose_few

SCORES = [0.1 * place for place in range(20)]


def test_the_best_the_worst_and_others_evenly_by_value_are_chosen() -> None:
    chosen = choose_few(SCORES, "higher")
    assert list(chosen.places) == [0, 6, 11, 17, 18, 19]
    assert chosen.reason == "the 3 best, the worst and 2 between"


def test_lower_values_are_better_where_the_column_says_so() -> None:
    assert list(choose_few(SCORES, "lower").places) == [0, 1, 2, 8, 13, 19]
    assert list(choose_few(SCORES, "lower", "best").places) == [0, 1, 2, 3, 4, 5]
    assert list(choose_few(SCORES, "lower", "worst").places) == [14, 15, 16, 17, 18, 19]


def test_a_spread_has_one_best_and_even_values() -> None:
    chosen = choose_few(SCORES, None, "spread")
    assert list(chosen.places) == [0, 4, 8, 11, 15, 19]
    assert chosen.reason == "the highest, the lowest and 4 between"


def test_points_without_a_value_are_chosen_only_where_no_point_has_one() -> None:
    scores = [None, 0.5, None, float("nan"), 0.7]
    assert list(choose_few(scores, "higher").places) == [1, 4]
    assert list(choose_few([None] * 9, "higher").places) == [0, 1, 2, 3, 4, 5]


def test_one_of_two_equal_points_is_always_the_same() -> None:
    assert list(choose_few([0.5] * 9, "higher", "best", most=2).places) == [0, 1]


def test_points_are_read_from_a_word_or_from_indices() -> None:
    assert read_points("worst", 5) == "worst"
    assert read_points("3,0,3", 5) == [0, 3]


@pytest.mark.parametrize(
    "text", ["", "median", "5", "-1", "1,", "0,1.5", ",".join(["0"] * (MAX_CHOSEN + 1))]
)
def test_other_points_are_an_error_that_says_what_is_allowed(text: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read_points(text, 5)
    (error,) = caught.value.errors
    assert error.pointer == "#/query/points"
    assert "best, worst, spread" in error.detail
    assert f"up to {MAX_CHOSEN} indices of points from 0 to 4" in error.detail
