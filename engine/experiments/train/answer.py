"""What answers the question of a training: how well the net has learned, and how fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.answers import AnswerColumn, make_column


def answer(point: Mapping[str, Any]) -> list[AnswerColumn]:
    """Accuracy after the last epoch, loss of the last epoch, accuracy at the start, time."""
    return [
        make_column("test_accuracy", value=point["test_accuracy"], better="higher"),
        make_column("train_loss", value=point["train_loss"], better="lower"),
        make_column("initial_test_accuracy", value=point["initial_test_accuracy"]),
        make_column(
            "train_seconds", "time to train", point["timings"]["train_seconds"], better="lower"
        ),
    ]
