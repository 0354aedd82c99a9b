"""What answers the question of layer-wise sparse SGD: accuracy and time, beside those of `full`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.answers import PLACEHOLDER, AnswerColumn, make_column
from engine.data.spec import DatasetInfo
from engine.models.spec import XavierSpec
from engine.spec import ExperimentSpec


def answer(point: Mapping[str, Any]) -> list[AnswerColumn]:
    """Accuracy, its difference to `full`, and times of back-propagation and of training."""
    return [
        make_column("test_accuracy", value=point["test_accuracy"], better="higher"),
        make_column(
            "difference", "accuracy less that of full", point["difference"], better="higher"
        ),
        *_to_xavier(point),
        make_column(
            "backward_seconds",
            "time of back-propagation",
            point["backward_seconds"],
            better="lower",
        ),
        make_column(
            "backward_ratio",
            "time of back-propagation / that of full",
            point["backward_ratio"],
            better="lower",
        ),
        make_column("train_seconds", "time to train", point["train_seconds"], better="lower"),
        make_column(
            "train_ratio", "time to train / that of full", point["train_ratio"], better="lower"
        ),
    ]


def expect(spec: ExperimentSpec, info: DatasetInfo) -> dict[str, Any]:
    """A difference to `full` from Xavier, for a net that starts otherwise."""
    other = None if isinstance(spec.init, XavierSpec) else {**PLACEHOLDER, "mean": 1.0}
    return {"difference_to_xavier": other}


def _to_xavier(point: Mapping[str, Any]) -> list[AnswerColumn]:
    """Only where it is another difference: for nets that start from pretrained weights."""
    found = point.get("difference_to_xavier")
    if found is None or found == point["difference"]:
        return []
    return [
        make_column(
            "difference_to_xavier",
            "accuracy less that of full from Xavier",
            found,
            unit="difference",
            better="higher",
        )
    ]
