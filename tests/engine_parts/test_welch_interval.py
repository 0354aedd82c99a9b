"""The confidence interval of a difference of means, compared with SciPy's."""

from __future__ import annotations

from math import inf

import pytest
from scipy.special import stdtrit
from scipy.stats import ttest_ind

from engine.analysis.stats import (
    POSITIVE,
    SHARE,
    UNBOUNDED,
    bounds_of_difference,
    decisive_interval,
    difference_interval,
    student_t,
    summarize,
    summarize_shared_times,
)


def test_the_interval_of_a_difference_is_welchs_or_slightly_wider() -> None:
    ours, theirs = [0.90, 0.93, 0.91, 0.94, 0.92], [0.81, 0.88, 0.86, 0.9]
    found = difference_interval(summarize(ours), summarize(theirs))
    oracle = ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert found is not None
    assert found[0] <= oracle.low
    assert found[1] >= oracle.high
    # Degrees of freedom are rounded down, from 3.9 to 3 here.
    assert found[1] - found[0] == pytest.approx(oracle.high - oracle.low, rel=0.2)


def test_one_seed_and_equal_values_give_no_interval() -> None:
    assert difference_interval(summarize([0.5]), summarize([0.4, 0.6])) is None
    equal = summarize([0.5, 0.5])
    assert (equal.standard_error, equal.ci95) == (0.0, None), "no spread is no interval of width 0"
    assert difference_interval(equal, summarize([0.25, 0.25])) is None
    assert difference_interval(equal, summarize([0.2, 0.3])) is not None


def test_a_difference_of_two_accuracies_ends_at_one_also_for_two_seeds() -> None:
    ours, theirs = summarize([0.9, 1.0], SHARE), summarize([0.0, 0.2], SHARE)
    free = difference_interval(ours, theirs)
    assert free is not None
    assert free[1] > 1, "the interval would end above the largest possible difference"
    bounds = bounds_of_difference("test_accuracy")
    assert difference_interval(ours, theirs, bounds) == (free[0], 1.0)


@pytest.mark.parametrize(
    ("quantity", "unit", "bounds"),
    [
        ("test_accuracy", "", (-1.0, 1.0)),
        ("test_accuracy", "accuracy", (-1.0, 1.0)),
        ("gain_of_ticket", "difference", (-2.0, 2.0)),
        ("train_loss", "loss", (-inf, inf)),
        ("slope", "", (-inf, inf)),
    ],
)
def test_a_difference_ends_at_what_both_values_can_be(
    quantity: str, unit: str, bounds: tuple[float, float]
) -> None:
    """Also of quantities that are differences themselves."""
    assert bounds_of_difference(quantity, unit) == bounds


def test_equal_shares_of_one_measured_time_are_one_measurement() -> None:
    assert summarize_shared_times([(2.0, 3), (2.0, 3), (2.0, 3)]).n == 1
    two_stacks = summarize_shared_times([(2.0, 2), (2.0, 2), (4.0, 2), (4.0, 2)])
    assert (two_stacks.n, two_stacks.mean) == (2, 3.0)
    assert summarize_shared_times([(2.0, 1), (2.0, 1)]).n == 2


@pytest.mark.parametrize("degrees", [*range(1, 40), 99, 100, 1_000])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 0.9995, 1 - 1e-6])
def test_the_quantiles_of_student_are_scipys(degrees: int, confidence: float) -> None:
    expected = stdtrit(degrees, (1 + confidence) / 2)
    assert student_t(degrees, confidence) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("count", "decides"), [(1, False), (3, False), (5, False), (6, True)])
def test_equal_values_decide_only_where_a_sign_test_would(count: int, decides: bool) -> None:
    """Six equal values on one side of a bound: 2^-6 is at most 2.5 %."""
    found = decisive_interval(summarize([0.5] * count))
    assert found == ((0.5, 0.5) if decides else None)


@pytest.mark.parametrize(
    ("values", "bounds", "interval"),
    [
        ([0.99, 1.0], SHARE, (0.9314689763, 1.0)),
        ([0.0, 0.1], SHARE, (0.0, 0.6853102368)),
        ([1.0, 3.0], POSITIVE, (0.0, 14.7062047)),
        ([1.0, 3.0], UNBOUNDED, (-10.7062047, 14.7062047)),
    ],
)
def test_an_interval_ends_at_the_bounds_of_its_quantity(
    values: list[float], bounds: tuple[float, float], interval: tuple[float, float]
) -> None:
    found = summarize(values, bounds)
    assert found.ci95 == pytest.approx(interval)
    assert found.mean == sum(values) / len(values)
