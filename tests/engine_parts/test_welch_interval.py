"""The confidence interval of a difference of means, compared with SciPy's."""

from __future__ import annotations

import pytest
from scipy.stats import ttest_ind

from engine.analysis.stats import (
    POSITIVE,
    SHARE,
    UNBOUNDED,
    difference_interval,
    summarize,
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


def test_one_seed_gives_no_interval_and_equal_values_give_width_zero() -> None:
    assert difference_interval(summarize([0.5]), summarize([0.4, 0.6])) is None
    found = difference_interval(summarize([0.5, 0.5]), summarize([0.25, 0.25]))
    assert found == (0.25, 0.25)


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
