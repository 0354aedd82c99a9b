"""What answers the question of a gradient spectrum: how much of it the largest components hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.analysis.fractions import percent_key
from engine.answers import PLACEHOLDER, AnswerColumn, make_column
from engine.data.spec import DatasetInfo
from engine.experiments.gradient_spectrum.spec import GradientSpectrumSpec
from engine.spec import ExperimentSpec

HEADLINE_PERCENT = 1.0
OTHER_PERCENTS = (0.1, 10.0)


def answer(point: Mapping[str, Any]) -> list[AnswerColumn]:
    """Shares of the squared norm at the last step measured, then at the steps before, accuracy."""
    *before, last = point["steps"] or [{"step": None, "share_of_norm": {}}]
    percents = (HEADLINE_PERCENT, *OTHER_PERCENTS)
    return [
        *(_share(last, percent) for percent in percents),
        *(
            _share(step, HEADLINE_PERCENT, f"_at_step_{step['step']}", f", step {step['step']:,}")
            for step in before
        ),
        make_column("test_accuracy", value=point["test_accuracy"], better="higher"),
    ]


def expect(spec: ExperimentSpec, info: DatasetInfo) -> dict[str, Any]:
    """The steps that a result will have."""
    assert isinstance(spec, GradientSpectrumSpec)
    percents = (HEADLINE_PERCENT, *OTHER_PERCENTS)
    share = {percent_key(percent): PLACEHOLDER for percent in percents}
    return {"steps": [{"step": step, "share_of_norm": share} for step in spec.steps]}


def _share(
    step: Mapping[str, Any], percent: float, suffix: str = "", when: str = ", last step"
) -> AnswerColumn:
    key = percent_key(percent)
    return make_column(
        f"share_of_norm_{key}{suffix}",
        f"squared norm in the top {key} %{when}",
        step["share_of_norm"].get(key),
        unit="share",
    )
