"""The spec of active and lazy re-initialisation (paper, Section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, Strict, field_validator

from engine.analysis.fractions import Criterion, Mode, default_grid
from engine.data.spec import DatasetInfo
from engine.errors import FieldError
from engine.kind import PlotInput
from engine.models.layout import count_planned_layers, layout
from engine.models.spec import ReluNetSpec, find_given_start
from engine.spec import ExperimentSpec, KeptCheckpoints, Work, epoch_too_late, step_too_late
from engine.spec_model import (
    LIST,
    WORD,
    Many,
    SpecModel,
    layer_order,
    one_of,
    require_ascending,
    require_distinct,
    unordered,
)

MAX_FRACTIONS = 254
"""The most cuts that one pass over the parameters can make."""
SHARED_EVALUATION = 0.45
"""Cost of one mixture of a ReLU-Net with one hidden layer, in evaluations of the net.

Less than 1 because mixtures share the first layer's product.
"""
SWEEP_BYTES = 16
"""Memory per parameter beyond training: both nets as vectors, their difference and its order."""

EvaluatedMode = Literal["active", "lazy", "random", "layer"]


class InitReset(SpecModel):
    """Reset to the initial weights theta_0, as the paper says."""

    is_default_variant: ClassVar[bool] = True

    name: Literal["init"] = "init"


class EpochReset(SpecModel):
    """Reset to the weights after an epoch of the same training (arXiv 1902.01996)."""

    name: Literal["epoch"] = "epoch"
    epoch: int = Field(1, ge=1, le=10_000, description="Epoch of the training, from 1.")


class StepReset(SpecModel):
    """Reset to the weights after a step of the same training (arXiv 1912.05671)."""

    name: Literal["step"] = "step"
    step: int = Field(20, ge=1, le=10**9, description="Step of the whole training, from 1.")


class FreshReset(SpecModel):
    """Reset to another draw of the same initialisation, from the seed (arXiv 1902.01996)."""

    name: Literal["fresh"] = "fresh"


class ZeroReset(SpecModel):
    """Set to zero (arXiv 1905.01067)."""

    name: Literal["zero"] = "zero"


ResetTo = Annotated[
    InitReset | EpochReset | StepReset | FreshReset | ZeroReset, Field(discriminator="name")
]
ManyLayers = Annotated[
    tuple[str, ...], Strict(False), Field(min_length=1, max_length=1_000), unordered(layer_order)
]

Percent = Annotated[float, Field(ge=0, le=100)]


def layer_names(num_layers: int) -> tuple[str, ...]:
    """The names of a net's layers, bottom first."""
    return tuple(f"layers.{number}" for number in range(num_layers))


class ReinitSweepSpec(ExperimentSpec):
    """Train, then reset the parameters that moved most, or all others, to their initial values.

    Measures the test accuracy of each such net.
    """

    uses_initial_net: ClassVar[bool] = True

    kind: Literal["reinit_sweep"] = "reinit_sweep"
    modes: Many[EvaluatedMode] = Field(
        ("active", "lazy"),
        min_length=1,
        max_length=4,
        description=(
            "`active` resets the fraction that ranks first by `criterion`; `lazy` keeps it at its "
            "trained values and resets all others; `random`, the control, resets as many drawn at "
            "random; `layer` resets each layer as a whole, alone."
        ),
    )
    reset_to: ResetTo = Field(
        InitReset(),
        description="The weights that a reset parameter gets: `init`, those after an `epoch` or "
        "`step` of the same training, a `fresh` draw, or `zero`.",
    )
    criterion: Criterion = Field(
        "movement",
        description="What ranks the parameters: `movement`, the distance to the weights reset to "
        "(for `fresh` and `zero` to the initial ones); `magnitude`; `magnitude_increase`; or "
        "`random`.",
    )
    scope: Annotated[
        Annotated[Literal["global", "per_layer"], WORD] | Annotated[ManyLayers, LIST],
        one_of('"global", "per_layer", or a list of names of layers', "global", "per_layer"),
    ] = Field(
        "global",
        description="`global` ranks all parameters together; `per_layer` takes the fraction of "
        'each layer; a list such as `["layers.0"]` resets in these layers only.',
    )

    added_fields: ClassVar[Mapping[str, Any]] = {
        **ExperimentSpec.added_fields,
        "reset_to": {"name": "init"},
        "criterion": "movement",
        "scope": "global",
    }
    fractions_percent: Many[Percent] = Field(
        default_grid(),
        min_length=1,
        max_length=MAX_FRACTIONS,
        description=(
            "gamma (active) and epsilon (lazy): percent of all parameters, strictly ascending."
        ),
    )

    _modes_are_distinct = field_validator("modes")(require_distinct)
    _fractions_ascend = field_validator("fractions_percent")(require_ascending)

    def check_fields(self) -> list[FieldError]:
        """Also errors for a reset that cannot be made, and for layers that there are not."""
        errors = super().check_fields()
        if isinstance(self.reset_to, EpochReset) and self.reset_to.epoch > self.epochs:
            errors.append(epoch_too_late("reset_to/epoch", self.reset_to.epoch, self.epochs))
        given = find_given_start(self.model, self.init)
        if isinstance(self.reset_to, FreshReset) and given is not None:
            detail = (
                f"the start is {given}, which draws nothing to draw again; use init `xavier` or "
                "another reset_to than `fresh`"
            )
            errors.append(FieldError("reset_to", "no-fresh-draw", detail))
        num_layers = count_planned_layers(self.model)
        if num_layers is not None:
            errors += self._check_layers(num_layers, "scope")
        return errors

    def _check_layers(self, num_layers: int, pointer: str) -> list[FieldError]:
        """An error for each name in `scope` that is no layer."""
        known = layer_names(num_layers)
        return [
            FieldError(
                f"{pointer}/{index}",
                "no-such-layer",
                f"{name[:40]!r} is no layer of the net; name one of {known[0]} to {known[-1]}",
            )
            for index, name in enumerate(self.scope_layers)
            if name not in known
        ]

    @property
    def scope_layers(self) -> tuple[str, ...]:
        """The layers that `scope` names; empty for `global` and `per_layer`."""
        return self.scope if isinstance(self.scope, tuple) else ()

    @property
    def order_modes(self) -> tuple[Mode, ...]:
        """The modes that follow the order by `criterion`."""
        return tuple(mode for mode in self.modes if mode in ("active", "lazy"))

    def kept_checkpoints(self) -> KeptCheckpoints:
        """Those of the spec, and the point that is reset to."""
        match self.reset_to:
            case EpochReset(epoch=epoch):
                return self.checkpoints.union(KeptCheckpoints(epochs=(epoch,)))
            case StepReset(step=step):
                return self.checkpoints.union(KeptCheckpoints(steps=(step,)))
        return self.checkpoints

    def check_data(self, info: DatasetInfo) -> list[FieldError]:
        """Also an error for a step to reset to that is beyond the training."""
        errors, total = super().check_data(info), self.num_steps(info)
        if count_planned_layers(self.model) is None:
            errors += self._check_layers(len(layout(self.model, info)), "#/spec/scope")
        if isinstance(self.reset_to, StepReset) and self.reset_to.step > total:
            errors.append(step_too_late("#/spec/reset_to/step", self.reset_to.step, total))
        return errors

    @classmethod
    def describe_speed(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Without the modes and fractions, whose evaluations `work` counts."""
        speed = super().describe_speed(spec)
        return {
            name: value
            for name, value in speed.items()
            if name not in ("modes", "fractions_percent", "reset_to", "criterion", "scope")
        }

    def work(self, info: DatasetInfo) -> Work:
        """The test set once for each fraction and mode, or layer.

        Less where mixtures share a product.
        """
        curves = sum(mode != "layer" for mode in self.modes)
        mixtures = curves * len(self.fractions_percent)
        if isinstance(self.model, ReluNetSpec) and self.model.depth == 1:
            mixtures = ceil(SHARED_EVALUATION * mixtures)
        if "layer" in self.modes:
            mixtures += len(layout(self.model, info))
        return Work(test_evaluations=mixtures, bytes_per_parameter=SWEEP_BYTES)


def needs_mode_layer(source: PlotInput) -> str | None:
    """Why there is no accuracy with one layer reset, or None."""
    if any("layer" in spec.get("modes", ()) for spec in source.specs):
        return None
    return "no point has the mode `layer`; add it to `modes`"
