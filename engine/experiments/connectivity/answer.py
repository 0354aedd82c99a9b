"""What answers the question of linear mode connectivity: from which step on a net is stable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.answers import PLACEHOLDER, AnswerColumn, make_column
from engine.data.spec import DatasetInfo
from engine.experiments.connectivity.result import STABLE_BELOW
from engine.experiments.connectivity.spec import ConnectivitySpec
from engine.models.layout import layout
from engine.result import Statistic
from engine.spec import ExperimentSpec
from engine.statistic_text import tell as tell_statistic

STABLE = f"Stable (instability below {100 * STABLE_BELOW:g} points)"


def answer(point: Mapping[str, Any]) -> list[AnswerColumn]:
    """Instability from each split, on the test and the train set, the first stable step, layers."""
    splits = point["splits"]
    stable = point["stable_from_step"]
    return [
        *(_instability(split, "", "", split["instability"]) for split in splits),
        make_column(
            "stable_from_step",
            "first step from which it is stable",
            None if stable is None else _exactly(stable, point["test_accuracy"]["n"]),
            unit="count",
            is_mean=False,
        ),
        *(_instability(split, "train_", "train ", split["train_instability"]) for split in splits),
        *(
            _instability(
                split, f"{layer['name']}_", f"{layer['name']} alone: ", layer["instability"]
            )
            for split in splits
            for layer in split["layers"]
        ),
        make_column("test_accuracy", value=point["test_accuracy"], better="higher"),
    ]


def _instability(
    split: Mapping[str, Any], prefix: str, of: str, value: Mapping[str, Any]
) -> AnswerColumn:
    step = split["step"]
    return make_column(
        f"{prefix}instability_from_step_{step}",
        f"{of}instability from step {step:,}",
        value,
        unit="difference",
        better="lower",
    )


def _exactly(value: float, count: int) -> dict[str, Any]:
    return {"mean": value, "standard_error": None, "ci95": None, "n": count}


def expect(spec: ExperimentSpec, info: DatasetInfo) -> dict[str, Any]:
    """The splits and layers that a result will have."""
    assert isinstance(spec, ConnectivitySpec)
    layers = [
        {"name": layer.name, "instability": PLACEHOLDER}
        for layer in layout(spec.model, info)
        if spec.by_layer
    ]
    return {
        "splits": [
            {
                "step": step,
                "instability": PLACEHOLDER,
                "train_instability": PLACEHOLDER,
                "layers": layers,
            }
            for step in spec.split_steps(info)
        ],
        "stable_from_step": None,
    }


def tell(point: Mapping[str, Any]) -> str:
    """`Stable (...) from step 100 on: 0.4 points there, 12.3 points from step 0.`

    Empty where the net did not train: at chance every line is flat.
    """
    splits = {split["step"]: split["instability"] for split in point["splits"]}
    stable = point["stable_from_step"]
    if point["outcome"] != "trained" or not splits:
        return ""
    if stable is None:
        last = max(splits)
        return f"{STABLE} from no split on: {_tell(splits[last])} from step {last:,}, the last one."
    start = "from its initialisation on" if stable == 0 else f"from step {stable:,} on"
    told = f"{STABLE} {start}: {_tell(splits[stable])}"
    before = [step for step in splits if step < stable]
    if not before:
        return f"{told}."
    return f"{told} there, {_tell(splits[max(before)])} from step {max(before):,}."


def _tell(value: Mapping[str, Any]) -> str:
    return tell_statistic(Statistic.model_validate(value), "difference")
