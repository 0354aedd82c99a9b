"""The client formats values, points and statistics as the service's pages do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.web import formatting
from engine import statistic_text
from richregime.formatting import (
    format_duration,
    format_point,
    format_statistic,
    format_value,
)

pytestmark = pytest.mark.usefixtures("denormals")

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
NAMES = st.sampled_from(["name", "width", "model.width", "policy.rho", "q"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
NUMBERS = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)
ERRORS = st.none() | st.just(0.0) | st.floats(min_value=1e-15, max_value=1e12)


@given(VALUES)
def test_values_are_formatted_as_on_the_pages(value: Any) -> None:
    assert format_value(value) == formatting.format_value(value)


@given(st.dictionaries(NAMES, VALUES, max_size=3))
def test_points_are_formatted_as_on_the_pages(point: dict[str, Any]) -> None:
    assert format_point(point) == formatting.format_point(point)


@given(NUMBERS, ERRORS)
def test_statistics_are_formatted_as_on_the_pages(mean: float, error: float | None) -> None:
    assert format_statistic(mean, error) == statistic_text.format_statistic(mean, error)


@pytest.mark.parametrize(
    ("mean", "error", "shown"),
    [
        (0.91234, 0.0042, "0.9123 ± 0.0042"),
        (0.5, None, "0.5"),
        (123.4, 12.3, "123 ± 12"),
        (1.0, 0.0, "1 ± 0"),
        (0.0, 0.0, "0 ± 0"),
        (-2.4, 5.6e-15, "-2.4 ± 0"),
        (-2.4e-13, 5.6e-15, "-2.4e-13 ± 5.6e-15"),
        (1.63e-8, 4.2e-10, "1.63e-08 ± 4.2e-10"),
        (3.1693e20, 2.738e20, "3.169e+20 ± 2.7e+20"),
    ],
)
def test_the_error_decides_the_decimals_of_a_statistic(
    mean: float, error: float | None, shown: str
) -> None:
    assert format_statistic(mean, error) == shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "under 0.1 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (5.0, "5 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7_200, "2 h"),
        (-200, "-3 min 20 s"),
        (7_500, "2 h 5 min"),
        (172_799, "47 h 59 min"),
        (13_300_000, "154 days"),
        (400_000_000, "13 years"),
        (4e11, "12,675 years"),
    ],
)
def test_a_duration_is_told_as_people_do_and_alike_on_the_pages(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text == formatting.format_seconds(seconds)
