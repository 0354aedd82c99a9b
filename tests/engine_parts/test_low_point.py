"""The interval of the difference of two lowest means."""

from __future__ import annotations

import random

import pytest

from engine.analysis.low_point import LowestDifference
from engine.analysis.stats import decisive_interval, summarize

LOW = (0.51, 0.49, 0.50, 0.52)
MIDDLE = (0.70, 0.72, 0.69, 0.71)
HIGH = (0.90, 0.93, 0.91, 0.88)


def paired(
    one: tuple[float, ...], other: tuple[float, ...], confidence: float
) -> tuple[float, ...]:
    found = decisive_interval(
        summarize(here - there for here, there in zip(one, other, strict=True)), confidence
    )
    assert found is not None
    return found


def test_one_point_on_each_side_has_the_paired_t_interval() -> None:
    found = LowestDifference([LOW], [HIGH])
    assert found.value == pytest.approx(0.505 - 0.905)
    assert found.interval(0.95) == pytest.approx(paired(LOW, HIGH, 0.95))


def test_each_end_pays_for_the_points_that_it_is_chosen_from() -> None:
    low, high = LowestDifference([LOW, MIDDLE], [HIGH]).interval(0.95)
    assert low == pytest.approx(paired(LOW, HIGH, 0.95)[0]), "the least of both, at no price"
    assert high == pytest.approx(paired(LOW, HIGH, 0.975)[1]), "the better of two"
    low, high = LowestDifference([LOW], [HIGH, MIDDLE]).interval(0.95)
    assert low == pytest.approx(paired(LOW, MIDDLE, 0.975)[0])
    assert high == pytest.approx(paired(LOW, MIDDLE, 0.95)[1])


def test_the_upper_end_is_read_at_declared_points_alone() -> None:
    found = LowestDifference([LOW, MIDDLE], [HIGH], declared=[1])
    low, high = found.interval(0.95)
    assert low == pytest.approx(paired(LOW, HIGH, 0.95)[0])
    assert high == pytest.approx(paired(MIDDLE, HIGH, 0.95)[1])


def test_equal_values_in_few_seeds_leave_the_sign_open() -> None:
    low, high = LowestDifference([(0.1,) * 3], [(0.3,) * 3]).interval(0.95)
    assert low == pytest.approx(-0.2)
    assert high > 0
    assert LowestDifference([(0.1,) * 6], [(0.3,) * 6]).interval(0.95)[1] < 0
    assert LowestDifference([(0.1,)], [(0.3,)]).interval(0.95) == (-1.0, 1.0)


def test_the_interval_covers_the_difference_of_the_lowest_means() -> None:
    generator = random.Random(0)
    truth = (0.3, 0.32, 0.31), (0.35, 0.36)
    misses = [0, 0]
    for _ in range(400):
        inside, outside = (
            [[mean + generator.gauss(0, 0.05) for _ in range(5)] for mean in means]
            for means in truth
        )
        low, high = LowestDifference(inside, outside).interval(0.8)
        misses[0] += low > 0.3 - 0.35
        misses[1] += high < 0.3 - 0.35
    assert max(misses) <= 60, "each end misses in at most 10 % of 400, and rarely more than 60"
