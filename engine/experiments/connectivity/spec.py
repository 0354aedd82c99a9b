"""The spec of linear mode connectivity (arXiv 1912.05671)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from engine.data.spec import DatasetInfo
from engine.errors import FieldError
from engine.kind import PlotInput
from engine.models.layout import layout
from engine.spec import ExperimentSpec, Work
from engine.spec_model import Many, SpecModel, find_not_ascending

MAX_SPLITS = 32
"""The most steps, and the most epochs, of one experiment."""

STATE_BYTES = 12
"""Of a parameter with the two averages that Adam keeps: each split holds one such state."""

SplitStep = Annotated[int, Field(ge=0, le=10**9)]
SplitEpoch = Annotated[int, Field(ge=1, le=10_000)]


class SplitsSpec(SpecModel):
    """After which steps and epochs of the training its copies part."""

    steps: Many[SplitStep] = Field(
        (0,), max_length=MAX_SPLITS, description="After these steps, ascending; 0 is the start."
    )
    epochs: Many[SplitEpoch] = Field(
        (), max_length=MAX_SPLITS, description="After these epochs, ascending."
    )


class ConnectivitySpec(ExperimentSpec):
    """Train copies of a net in other orders of the examples; errors on the line between them.

    The copies part after chosen steps k of one training, with its weights and optimiser.
    """

    loads_trainings: ClassVar[bool] = False

    kind: Literal["connectivity"] = "connectivity"
    splits: SplitsSpec = Field(
        SplitsSpec(),
        description="After which steps k the copies part. One training serves all of them.",
    )
    children: int = Field(
        2,
        ge=2,
        le=8,
        description="Copies that train from k to the end. Child 1 is the training itself; each "
        "other one draws its own order of the examples.",
    )
    points: int = Field(
        30, ge=3, le=1_000, description="Nets that are evaluated on a line, its ends included."
    )
    by_layer: bool = Field(
        True, description="Also moves each layer along the line alone; the others stay at child 1."
    )

    def check_fields(self) -> list[FieldError]:
        """Also errors for splits that do not ascend, or after which nothing is left to train."""
        return [
            *super().check_fields(),
            *find_not_ascending(self.splits.steps, "splits/steps/"),
            *find_not_ascending(self.splits.epochs, "splits/epochs/"),
            *self._check_epochs(),
        ]

    def _check_epochs(self) -> Iterator[FieldError]:
        """Errors where there is no split, or an epoch after which nothing is left to train."""
        if not (self.splits.steps or self.splits.epochs):
            yield FieldError("splits", "no-splits", "name at least one step or epoch")
        for index, epoch in enumerate(self.splits.epochs):
            if epoch >= self.epochs:
                yield FieldError(
                    f"splits/epochs/{index}",
                    "split-too-late",
                    f"epoch {epoch} is not before the end of the {self.epochs} epochs; "
                    "name an earlier one, or train for more epochs",
                )
        if not self.epochs:
            yield FieldError("epochs", "no-training", "copies that train 0 epochs never part")

    def split_steps(self, info: DatasetInfo) -> tuple[int, ...]:
        """All splits in steps of the training on this data set, ascending."""
        per_epoch = self.steps_per_epoch(info)
        ends = {epoch * per_epoch for epoch in self.splits.epochs}
        return tuple(sorted({*self.splits.steps, *ends}))

    def check_data(self, info: DatasetInfo) -> list[FieldError]:
        """Also an error for every split after which nothing is left to train, or named twice."""
        errors, total = super().check_data(info), self.num_steps(info)
        per_epoch = self.steps_per_epoch(info)
        for index, step in enumerate(self.splits.steps):
            if step >= total:
                errors.append(
                    FieldError(
                        f"#/spec/splits/steps/{index}",
                        "split-too-late",
                        f"step {step:,} is not before the end of the training's {total:,} steps on "
                        "this data set; name an earlier one, or train for more epochs",
                    )
                )
        for index, epoch in enumerate(self.splits.epochs):
            if epoch * per_epoch in self.splits.steps:
                errors.append(
                    FieldError(
                        f"#/spec/splits/epochs/{index}",
                        "repeated",
                        f"epoch {epoch} ends at step {epoch * per_epoch:,}, which `steps` holds",
                    )
                )
        return errors

    @classmethod
    def describe_speed(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Without the kind's fields, which `work` counts."""
        own = ("splits", "children", "points", "by_layer")
        return {
            name: value for name, value in super().describe_speed(spec).items() if name not in own
        }

    def train_share(self, info: DatasetInfo) -> float:
        """Steps of the training and of its copies, in steps of the training."""
        total = max(1, self.num_steps(info))
        left = sum(max(0, total - step) for step in self.split_steps(info))
        return 1 + (self.children - 1) * left / total

    def num_lines(self, info: DatasetInfo) -> int:
        """Lines between child 1 and the others, of all splits."""
        return (self.children - 1) * len(self.split_steps(info))

    def epochs_of_line(self, info: DatasetInfo) -> float:
        """Cost of one line's evaluation in epochs of training; forward takes a third of a step."""
        train, test = self._count_examples(info)
        return self._evaluations_of_line(info) * test / (3 * train + test)

    def work(self, info: DatasetInfo) -> Work:
        """The copies, and the test and the train set at each point of a line.

        Batch normalisation takes another pass through the train set at each net.
        """
        return Work(
            train_fraction=self.train_share(info),
            test_evaluations=self.num_lines(info) * self._evaluations_of_line(info),
            bytes_per_parameter=STATE_BYTES * (1 + len(self.split_steps(info))),
        )

    def _evaluations_of_line(self, info: DatasetInfo) -> int:
        """Of the test set, with passes through the train set counted by their length."""
        layers = layout(self.model, info)
        has_norms = any(layer.normalises_by_batch for layer in layers)
        nets = self.points * (1 + len(layers) * self.by_layer)
        train, test = self._count_examples(info)
        return nets + ceil((self.points + nets * has_norms) * train / test)

    def _count_examples(self, info: DatasetInfo) -> tuple[int, int]:
        return self.data.train_size or info.train_size, self.data.test_size or info.test_size


def needs_layers(source: PlotInput) -> str | None:
    """Why there is no instability of layers, or None."""
    if any(spec.get("by_layer", True) for spec in source.specs):
        return None
    return "no point has `by_layer`"
