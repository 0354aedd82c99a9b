"""The spec of the lottery ticket: prune by magnitude, rewind, train again (arXiv 1803.03635)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from engine.data.spec import DatasetInfo
from engine.errors import FieldError
from engine.models.layer_layout import LayerLayout
from engine.models.spec import find_given_start
from engine.spec import ExperimentSpec, KeptCheckpoints, Work, step_too_late
from engine.spec_model import Many, find_repeated

Control = Literal["fresh", "random"]
Series = Literal["ticket", "fresh", "random"]
Share = Annotated[float, Field(gt=0, lt=100)]
MAX_ROUNDS = 40
MASK_BYTES = 12
"""Memory per parameter beyond training: masks of two rounds, the mask twice and frozen values"""


class LotterySpec(ExperimentSpec):
    """Train, prune the smallest weights, set the others back to an early net, and train again.

    Each round prunes a share of the weights that are left. Pruned weights stay 0.
    """

    kind: Literal["lottery"] = "lottery"
    rounds: int = Field(5, ge=1, le=MAX_ROUNDS, description="How often to prune and train again.")
    prune_percent: Share = Field(
        20.0, description="Percent of the weights left in each tensor that a round prunes."
    )
    output_prune_percent: Share | None = Field(
        None, description="The same for the top layer; null takes half of `prune_percent`."
    )
    rewind_step: int = Field(
        0,
        ge=0,
        le=10**9,
        description="The weights that are left are set back to those after this step of the first "
        "training, which goes on from there; 0 is the initialisation (arXiv 1912.05671).",
    )
    controls: Many[Control] = Field(
        ("fresh", "random"),
        max_length=2,
        description="Beside each ticket: `fresh`, another draw of the initialisation with the same "
        "mask; `random`, the same start with as many weights of each tensor drawn at random.",
    )

    def check_fields(self) -> list[FieldError]:
        """Also errors for a control that occurs twice, or draws where nothing is drawn."""
        errors = [*super().check_fields(), *find_repeated(self.controls, "controls/")]
        given = find_given_start(self.model, self.init)
        if "fresh" in self.controls and given is not None:
            detail = (
                f"the start is {given}, which draws nothing to draw again; use init `xavier` or "
                "leave the control `fresh` out"
            )
            errors.append(FieldError("controls", "no-fresh-draw", detail))
        return errors

    @property
    def series(self) -> tuple[Series, ...]:
        """The trainings of a round, in their order."""
        return ("ticket", *self.controls)

    def kept_checkpoints(self) -> KeptCheckpoints:
        """Those of the spec, and the step to rewind to."""
        if not self.rewind_step:
            return self.checkpoints
        return self.checkpoints.union(KeptCheckpoints(steps=(self.rewind_step,)))

    def check_data(self, info: DatasetInfo) -> list[FieldError]:
        """Also an error for a step to rewind to that leaves nothing to train."""
        errors, total = super().check_data(info), self.num_steps(info)
        if self.rewind_step and self.rewind_step >= total:
            errors.append(step_too_late("#/spec/rewind_step", self.rewind_step, total - 1))
        return errors

    def list_left(self, layers: Sequence[LayerLayout]) -> dict[str, tuple[int, ...]]:
        """By weight tensor: how many of its weights are left after each round, the first included.

        A round prunes a share of those left, rounded, halves to even. Biases, scales and shifts
        are never pruned.
        """
        found: dict[str, tuple[int, ...]] = {}
        for layer in layers:
            percent = self.prune_percent
            if layer is layers[-1]:
                percent = self.output_prune_percent or percent / 2
            for tensor in layer.parameters:
                if len(tensor.shape) > 1:
                    left = [tensor.size]
                    for _ in range(self.rounds):
                        left.append(left[-1] - round(percent * left[-1] / 100))
                    found[tensor.name] = tuple(left)
        return found

    def count_left(self, layers: Sequence[LayerLayout]) -> tuple[int, ...]:
        """How many weights of the net are left, at first and after each round."""
        return tuple(map(sum, zip(*self.list_left(layers).values(), strict=True)))

    @classmethod
    def describe_speed(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Without the rounds and controls, whose trainings `work` counts."""
        own = ("rounds", "prune_percent", "output_prune_percent", "rewind_step", "controls")
        speed = super().describe_speed(spec)
        return {name: value for name, value in speed.items() if name not in own}

    def work(self, info: DatasetInfo) -> Work:
        """A training for each round and series: a pruned weight saves no arithmetic."""
        total = self.num_steps(info)
        rewound = 1 - self.rewind_step / total if total else 1.0
        of_round = sum(1.0 if series == "fresh" else rewound for series in self.series)
        return Work(
            own_trainings=self.rounds * of_round,
            test_evaluations=self.rounds * len(self.series) * self.num_evaluations(),
            bytes_per_parameter=MASK_BYTES,
        )

    def describe_work(self, info: DatasetInfo) -> tuple[str, ...]:
        """Says what the pruned trainings cost."""
        trainings = self.rounds * len(self.series)
        return (
            f"each seed trains {1 + trainings} times: all weights, then {len(self.series)} times "
            f"in each of {self.rounds} rounds. A pruned net costs as much as the whole one, as its "
            "weights are computed as zeros",
        )
