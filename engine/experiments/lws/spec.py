"""The spec of layer-wise sparse SGD (paper, Section 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, ClassVar, Literal

from pydantic import Field

from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from engine.errors import FieldError
from engine.models.layout import LayerLayout, layout
from engine.models.spec import DescribedSpec, ReluNetSpec
from engine.optim.spec import CosineSpec
from engine.span import StepSpan
from engine.spec import Execution, ExperimentSpec, Work, epoch_too_late
from engine.training.cost_shares import expect_shares
from engine.training.policies import (
    EACH_EPOCH,
    FreezeOutPolicy,
    FullPolicy,
    PolicySpec,
    SchedulePolicy,
    TopKAllBottomsPolicy,
    check_group,
    check_policy,
)

MAX_DRAWS = 100_000
"""The most draws of one training."""


class LwsSpec(ExperimentSpec):
    """Train only the layers that a policy chooses; the others do not change."""

    kind: Literal["lws"] = "lws"
    policy: PolicySpec = TopKAllBottomsPolicy()
    frozen_layers: Literal["train", "eval"] = Field(
        "train",
        description="How layers run while they are frozen. `train`: batch normalisation uses the "
        "batch and moves its running statistics, dropout drops. `eval`: as in evaluation; their "
        "activations are then constant and can be cached.",
    )

    added_fields: ClassVar[Mapping[str, Any]] = {
        **ExperimentSpec.added_fields,
        "policy.draw_every": EACH_EPOCH.model_dump(mode="json"),
        "frozen_layers": "train",
    }

    def check_fields(self) -> list[FieldError]:
        """Also errors for a policy that does not fit the net or the training."""
        errors = [*super().check_fields(), *self._check_epochs(), *self._check_cosine()]
        if not isinstance(self.model, DescribedSpec):
            layers = layout(self.model, BUILTIN_DATASETS["digits"])
            errors += self._check_layers(layers, pointer="policy")
        return errors

    def _check_layers(self, layers: Sequence[LayerLayout], pointer: str) -> list[FieldError]:
        """Whether the policy fits a net of these layers."""
        return [
            *check_policy(self.policy, len(layers), pointer),
            *check_group(self.policy, layers, pointer),
        ]

    def _check_epochs(self) -> list[FieldError]:
        """The rows of a table that begin after the training."""
        if not isinstance(self.policy, SchedulePolicy):
            return []
        return [
            epoch_too_late(f"policy/table/{index}/epoch", row.epoch, self.epochs)
            for index, row in enumerate(self.policy.table)
            if row.epoch > max(1, self.epochs)
        ]

    def _check_cosine(self) -> list[FieldError]:
        """FreezeOut shortens a cosine that falls to 0."""
        if not isinstance(self.policy, FreezeOutPolicy):
            return []
        if not isinstance(self.schedule, CosineSpec):
            detail = (
                "freeze_out lets the learning rate of each layer fall by a cosine: choose the "
                'schedule {"name": "cosine"}, for the policies that it is compared with too'
            )
            return [FieldError("schedule/name", "needs-cosine", detail)]
        if self.schedule.final > 0:
            detail = "freeze_out freezes a layer when its learning rate is 0: final must be 0"
            return [FieldError("schedule/final", "needs-cosine", detail)]
        return []

    def check_data(self, info: DatasetInfo) -> list[FieldError]:
        """Also an error for more draws than a schedule can hold.

        Whether the policy fits a net whose layers depend on the data is known here first.
        """
        errors, total = super().check_data(info), self.num_steps(info)
        if isinstance(self.model, DescribedSpec):
            errors += self._check_layers(layout(self.model, info), pointer="#/spec/policy")
        every = getattr(self.policy, "draw_every", None)
        if isinstance(every, StepSpan) and total > MAX_DRAWS * every.steps:
            detail = (
                f"layers would be drawn {ceil(total / every.steps):,} times in the training's "
                f"{total:,} steps; at most {MAX_DRAWS:,} draws are possible"
            )
            pointer = "#/spec/policy/draw_every/steps"
            errors.append(FieldError(pointer, "too-many-draws", detail))
        return errors

    def work(self, info: DatasetInfo) -> Work:
        """The share of training under the policy, with the frozen-prefix cache where possible."""
        layers = layout(self.model, info)
        is_constant = self.frozen_layers == "eval" or not any(
            layer.normalises_by_batch or layer.is_random for layer in layers
        )
        keeps_prefix = self.data.augmentation == "none" and is_constant
        shares = expect_shares(
            self.policy,
            layers,
            self.epochs,
            keeps_prefix=keeps_prefix,
            steps_per_epoch=self.steps_per_epoch(info),
        )
        return Work(train_fraction=shares.train)

    def stacks_seeds(self, execution: Execution) -> bool:
        """Never: every policy, `full` included, trains by a schedule of layers."""
        return False

    def training_spec(self) -> dict[str, Any]:
        """With the policy, except for `full`, which is the training of the kind `train`.

        A ReLU-Net includes `full` too: the kind `train` stacks its seeds, while this kind trains
        them one by one under every policy, so that times are comparable.
        """
        spec = super().training_spec()
        if not isinstance(self.policy, FullPolicy) or isinstance(self.model, ReluNetSpec):
            spec["policy"] = self._identity()["policy"]
            if self.frozen_layers != "train":
                spec["frozen_layers"] = self.frozen_layers
        return spec
