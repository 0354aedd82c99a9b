"""The metrics of a training at its best epoch, its last one, or a chosen one, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from engine.analysis.stats import bounds_of, summarize
from engine.answers import AnswerColumn, Better

At = Literal["best", "last"] | int
"""`best`: of each seed the first epoch with the highest test accuracy; `last`: the last epoch that
was evaluated; a number: that epoch, 0 before training."""
AT_PATTERN = r"^(best|last|\d{1,5})$"
"""What `read_at` reads"""
Series = Mapping[int, Sequence[tuple[int, float | None]]]
"""By seed, (epoch, value)."""
RANKING = "test_accuracy"
METRICS: Mapping[str, Better] = {RANKING: "higher", "train_loss": "lower"}
"""What every kind logs by epoch"""


def read_at(text: str) -> At:
    """From the text of a request, which matches AT_PATTERN."""
    return "best" if text == "best" else "last" if text == "last" else int(text)


def describe_at(at: At) -> str:
    """How the epoch was chosen, as a sentence for a reader."""
    if at == "best":
        return (
            "Of each seed the epoch with the highest test accuracy, which is chosen on the test "
            "data: such values are optimistic"
        )
    return "Of each seed the last epoch that was evaluated" if at == "last" else f"At epoch {at}"


def answer_at(at: At, metrics: Mapping[str, Series]) -> list[AnswerColumn]:
    """The epoch and the metrics there, over the seeds that have a finite value.

    metrics: of one point, by name; `METRICS` are read.
    """
    epochs = _choose_epochs(at, metrics[RANKING])
    values: dict[str, list[float]] = {"epoch": [float(epoch) for epoch in epochs.values()]}
    for name in METRICS:
        values[name] = [
            value
            for seed, epoch in epochs.items()
            for step, value in metrics[name].get(seed, ())
            if step == epoch and value is not None
        ]
    return [
        AnswerColumn(
            name,
            name.replace("_", " "),
            "count" if name == "epoch" else "accuracy" if name == RANKING else "loss",
            summarize(found, bounds_of(name)) if found else None,
            METRICS.get(name),
        )
        for name, found in values.items()
    ]


def _choose_epochs(at: At, accuracies: Series) -> dict[int, int]:
    """By seed; seeds that were not evaluated there are left out."""
    chosen = {}
    for seed, series in accuracies.items():
        known = [(epoch, value) for epoch, value in series if value is not None]
        if at == "best" and known:
            chosen[seed] = max(known, key=lambda found: (found[1], -found[0]))[0]
        elif at == "last" and known:
            chosen[seed] = known[-1][0]
        elif any(epoch == at for epoch, _ in known):
            chosen[seed] = int(at)
    return chosen
