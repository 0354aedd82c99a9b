"""Statistics as text in the unit of their column, as pages, tables and findings show them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from engine.answers import AnswerColumn, Unit
from engine.result import Statistic

MAX_PLACES = 6
"""Most decimals of a number; one that needs more is written in scientific notation."""
MAX_DIGITS = 6
"""Most digits before the decimal point, likewise."""
ROUNDING = 1e-12
"""An error below this share of the mean is one of rounding: all values are equal."""
_SHOWN: Mapping[str, tuple[float, str]] = {
    "accuracy": (100.0, "%"),
    "share": (100.0, "%"),
    "difference": (100.0, "points"),
    "percent": (1.0, "%"),
    "seconds": (1.0, "s"),
}
"""The factor and the name of the unit that is shown; other units are shown as they are"""


def scale_of(unit: str) -> float:
    """What a stored value of an `engine.answers.Unit` is multiplied with to be shown."""
    return _SHOWN.get(unit, (1.0, ""))[0]


def symbol_of(unit: str) -> str:
    """The unit that is shown: `%`, `points`, `s`, or nothing."""
    return _SHOWN.get(unit, (1.0, ""))[1]


def tell_percent(share: float) -> str:
    """`91.2 %`: a share in a sentence."""
    return f"{100 * share:.1f} %"


def count_seeds(number: int) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{number} {'seed' if number == 1 else 'seeds'}"


def name_with_unit(title: str, unit: str) -> str:
    """`test accuracy (%)`."""
    symbol = symbol_of(unit)
    return f"{title} ({symbol})" if symbol else title


def name_unit(value: str, unit: str) -> str:
    """`91.2 %`: a value that is shown, with its unit."""
    return " ".join(filter(None, (value, symbol_of(unit))))


def format_heading(column: AnswerColumn) -> str:
    """The column's title with the unit that is shown."""
    return name_with_unit(column.title, column.unit)


def format_cell(statistic: Statistic | None, unit: Unit) -> str:
    """`91.23 ± 0.42` in the unit that is shown, without naming it; a dash for None."""
    if statistic is None:
        return "–"
    scale = scale_of(unit)
    error = statistic.standard_error
    return format_statistic(scale * statistic.mean, None if error is None else scale * error)


def tell(statistic: Statistic, unit: Unit) -> str:
    """`91.2 % (95 % interval 90.1 to 92.3, n = 3)`, with the digits of `format_cell`."""
    return tell_interval(statistic, unit, statistic.ci95)


def tell_interval(
    statistic: Statistic,
    unit: Unit,
    interval: tuple[float, float] | None,
    confidence: float = 0.95,
) -> str:
    """As `tell`, with an interval of another confidence."""
    told = name_unit(_format_like(statistic.mean, statistic, unit), unit)
    if interval is not None:
        low, high = (_format_like(end, statistic, unit) for end in interval)
        percent = f"{100 * confidence:.6g}"
        return f"{told} ({percent} % interval {low} to {high}, n = {statistic.n})"
    spread = "no spread, " if statistic.standard_error == 0 else ""
    return f"{told} ({spread}n = {statistic.n})"


def _format_like(value: float, statistic: Statistic, unit: Unit) -> str:
    """A value with the decimals that the statistic's mean is shown with."""
    scale = scale_of(unit)
    places = _count_places(scale * statistic.mean, scale * (statistic.standard_error or 0.0))
    return f"{scale * value:.4g}" if places is None else f"{scale * value:.{places}f}"


def format_statistic(mean: float, standard_error: float | None) -> str:
    """`0.9123 ± 0.0042`: two digits of the error and as many decimals of the mean.

    The mean alone if there is no standard error.
    """
    if standard_error is None:
        return f"{mean:.4g}"
    if standard_error <= ROUNDING * abs(mean):
        return f"{mean:.4g} ± 0"
    places = _count_places(mean, standard_error)
    if places is None:
        return f"{mean:.4g} ± {standard_error:.1e}"
    return f"{mean:.{places}f} ± {standard_error:.{places}f}"


def _count_places(mean: float, standard_error: float) -> int | None:
    """Decimals of a mean; None where it is written with four digits instead."""
    if not standard_error or max(abs(mean), standard_error) >= 10**MAX_DIGITS:
        return None
    places = max(0, 1 - math.floor(math.log10(standard_error)))
    return None if places > MAX_PLACES else places
