"""What answers the question of the lottery ticket: accuracy by round, beside its controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import log
from typing import Any

from engine.answers import PLACEHOLDER, AnswerColumn, make_column
from engine.data.spec import DatasetInfo
from engine.experiments.lottery.spec import LotterySpec
from engine.models.layout import layout
from engine.spec import ExperimentSpec
from engine.statistic_text import count_seeds, tell_percent

TOLD_PERCENT = 21.0
"""The sentence is about the round nearest to it: there the source's fresh draws have fallen"""
TITLES = {
    "ticket": "the rewound net",
    "fresh": "a fresh draw with its mask",
    "random": "a random mask",
}


def answer(point: Mapping[str, Any]) -> list[AnswerColumn]:
    """Of the last round accuracy of ticket and controls; the whole net; then every round."""
    curves = point["curves"]
    rounds = len(curves[0]["left_percent"])
    return [
        *(_column(curve, rounds, "test_accuracy") for curve in curves),
        make_column(
            "test_accuracy", "accuracy of the whole net", point["test_accuracy"], better="higher"
        ),
        *(
            _column(curve, number, "gain")
            for number in reversed(range(1, rounds + 1))
            for curve in curves
        ),
        *(
            _column(curve, number, "test_accuracy")
            for number in reversed(range(1, rounds))
            for curve in curves
        ),
        *(
            _column(curve, number, "stop_epoch")
            for number in reversed(range(1, rounds + 1))
            for curve in curves
        ),
        make_column(
            "initial_test_accuracy", "accuracy of the initial net", point["initial_test_accuracy"]
        ),
    ]


def expect(spec: ExperimentSpec, info: DatasetInfo) -> dict[str, Any]:
    """The curves that a result will have."""
    assert isinstance(spec, LotterySpec)
    whole, *left = spec.count_left(layout(spec.model, info))
    return {
        "curves": [
            {
                "series": series,
                "left_percent": [100 * count / whole for count in left],
                **{name: [PLACEHOLDER] * len(left) for name in _FIELDS},
            }
            for series in spec.series
        ]
    }


def tell(point: Mapping[str, Any]) -> str:
    """`With 21.1 % of the weights left, the rewound net reaches ...`"""
    percents = point["curves"][0]["left_percent"]
    place = min(range(len(percents)), key=lambda one: abs(log(percents[one] / TOLD_PERCENT)))
    parts = list(_tell_series(point, place))
    whole = point["test_accuracy"]
    return (
        f"With {percents[place]:.3g} % of the weights left, {', '.join(parts)}, the whole net "
        f"{tell_percent(whole['mean'])} test accuracy ({count_seeds(whole['n'])})."
    )


def _tell_series(point: Mapping[str, Any], place: int) -> Iterator[str]:
    for curve in point["curves"]:
        reaches = "reaches " if curve["series"] == "ticket" else ""
        accuracy = tell_percent(curve["test_accuracy"][place]["mean"])
        yield f"{TITLES[curve['series']]} {reaches}{accuracy}"


_FIELDS = {
    "test_accuracy": ("accuracy", "accuracy of {}", "accuracy", "higher"),
    "gain": ("gain", "accuracy of {} less that of the whole net", "difference", "higher"),
    "stop_epoch": ("stop_epoch", "epoch of the lowest test loss of {}", "count", "lower"),
}
"""By field: the name's beginning, the title, the unit and which value is better"""


def _column(curve: Mapping[str, Any], number: int, field: str) -> AnswerColumn:
    """The column of a round, counted from 1."""
    name, title, unit, better = _FIELDS[field]
    series, percent = curve["series"], curve["left_percent"][number - 1]
    return make_column(
        f"{name}_of_{series}_{number}",
        f"{title.format(TITLES[series])}, {percent:.3g} % left",
        curve[field][number - 1],
        unit=unit,  # type: ignore[arg-type]
        better=better,  # type: ignore[arg-type]
    )
