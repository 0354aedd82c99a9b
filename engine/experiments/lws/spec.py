"""The spec of layer-wise sparse SGD (paper, Section 6)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from engine.errors import FieldError
from engine.models.layout import layout
from engine.models.plans import plan_model
from engine.models.spec import ModelSpec, ReluNetSpec
from engine.spec import Execution, ExperimentSpec, Work
from engine.training.cost_shares import expect_shares
from engine.training.policies import FullPolicy, PolicySpec, TopKAllBottomsPolicy, check_policy


class LwsSpec(ExperimentSpec):
    """Train only the layers that a policy chooses in each epoch; the others do not change."""

    kind: Literal["lws"] = "lws"
    policy: PolicySpec = TopKAllBottomsPolicy()

    @model_validator(mode="after")
    def _policy_fits_the_net(self) -> LwsSpec:
        errors = check_policy(self.policy, count_layers(self.model), pointer="policy")
        if errors:
            raise ValidationError.from_exception_data(
                type(self).__name__, [_to_pydantic(error) for error in errors]
            )
        return self

    def work(self, info: DatasetInfo) -> Work:
        """The share of training under the policy, with the frozen-prefix cache where possible."""
        layers = layout(self.model, info)
        keeps_prefix = self.data.augmentation == "none" and not any(
            layer.buffers for layer in layers
        )
        shares = expect_shares(self.policy, layers, self.epochs, keeps_prefix=keeps_prefix)
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
            spec["policy"] = self.policy.model_dump(mode="json")
        return spec


def count_layers(model: ModelSpec) -> int:
    """L, the number of layers that policies count; the same for every data set."""
    return len(plan_model(model, BUILTIN_DATASETS["digits"]))


def _to_pydantic(error: FieldError) -> InitErrorDetails:
    """The error as pydantic's, so that it is raised with all others and points at the field."""
    return InitErrorDetails(
        type=PydanticCustomError(error.code, error.detail),
        loc=tuple(error.pointer.split("/")),
        input=None,
    )
