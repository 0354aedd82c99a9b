"""What answers the question of sparse training: accuracy by mask and share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log
from typing import Any

from engine.analysis.fractions import percent_key
from engine.answers import PLACEHOLDER, AnswerColumn, make_column
from engine.data.spec import DatasetInfo
from engine.experiments.sparse_train.spec import SparseTrainSpec
from engine.models.layout import layout
from engine.spec import ExperimentSpec
from engine.statistic_text import count_seeds, tell_percent

TENTH = 10.0
"""The share that the paper's claim 4 names"""
FIRST = (TENTH, 1.0, 0.1)
"""The shares that a table begins with, where they were trained"""
TITLES = {
    "movement": "the {} % that move most",
    "gradient_weight": "the {} % with the largest gradient times weight",
    "random": "{} % drawn at random",
    "by_layer": "the layer shares, {} %",
}


def answer(point: Mapping[str, Any]) -> list[AnswerColumn]:
    """Accuracy by mask at the shares of interest, its loss at a tenth, all parameters, the rest."""
    curves = point["curves"]
    shares = {percent for curve in curves for percent in curve["shares_percent"]}
    return [
        *(column for percent in FIRST for curve in curves for column in _at(curve, percent)),
        *(column for curve in curves for column in _at(curve, TENTH, "loss")),
        make_column(
            "test_accuracy",
            "accuracy training all parameters",
            point["test_accuracy"],
            better="higher",
        ),
        *(
            column
            for curve in curves
            for percent in sorted(shares - set(FIRST))
            for column in _at(curve, percent)
        ),
        make_column(
            "initial_test_accuracy", "accuracy of the initial net", point["initial_test_accuracy"]
        ),
    ]


def expect(spec: ExperimentSpec, info: DatasetInfo) -> dict[str, Any]:
    """The curves that a result will have."""
    assert isinstance(spec, SparseTrainSpec)
    layers = layout(spec.model, info)
    size = sum(layer.num_parameters for layer in layers)
    return {
        "curves": [
            {
                "mask": mask,
                "shares_percent": (
                    [100 * count / size for count in counts]
                    if mask == "by_layer"
                    else spec.shares_percent
                ),
                "test_accuracy": [PLACEHOLDER] * len(counts),
                "loss": [PLACEHOLDER] * len(counts),
            }
            for mask, counts in spec.list_counts(layers).items()
        ]
    }


def tell(point: Mapping[str, Any]) -> str:
    """`Training the 10 % that move most gives 96.1 %, ...`, at the share nearest to a tenth."""
    parts: list[str] = []
    for curve in point["curves"]:
        inside = [percent for percent in curve["shares_percent"] if 0 < percent < 100]
        if inside:
            percent = min(inside, key=lambda one: abs(log(one / TENTH)))
            place = list(curve["shares_percent"]).index(percent)
            what = TITLES[curve["mask"]].format(f"{percent:.3g}")
            gives = "" if parts else "gives "
            accuracy = tell_percent(curve["test_accuracy"][place]["mean"])
            parts.append(f"{what} {gives}{accuracy}")
    if not parts:
        return ""
    whole = point["test_accuracy"]
    whole_accuracy, seeds = tell_percent(whole["mean"]), count_seeds(whole["n"])
    return f"Training {', '.join(parts)}, all {whole_accuracy} test accuracy ({seeds})."


def _at(
    curve: Mapping[str, Any], percent: float, field: str = "test_accuracy"
) -> Iterator[AnswerColumn]:
    """The column of a curve at a share; none where it was not trained."""
    shares: Sequence[float] = curve["shares_percent"]
    if percent not in shares:
        return
    value, mask = curve[field][list(shares).index(percent)], curve["mask"]
    what = TITLES[mask].format(f"{percent:.3g}")
    place = mask if mask == "by_layer" else f"{mask}_{percent_key(percent)}"
    if field == "loss":
        title = f"accuracy lost training {what}"
        yield make_column(f"loss_at_{place}", title, value, unit="difference", better="lower")
    else:
        title = f"accuracy training {what}"
        yield make_column(f"accuracy_at_{place}", title, value, unit="accuracy", better="higher")
