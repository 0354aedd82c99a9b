"""Policies: which layers train when (paper, Section 6), and those of the field. Imports no torch.

A policy is part of the spec; `engine.training.layer_schedule` draws a schedule from it. Layers are
indices from the bottom: 0 takes the images, `num_layers - 1` gives the logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.errors import FieldError
from engine.labels import format_number
from engine.models.layout import LayerLayout
from engine.span import EpochSpan, Span, StepSpan
from engine.spec_model import (
    LIST,
    WORD,
    Many,
    SpecModel,
    find_not_ascending,
    one_of,
    refuse,
    unordered,
)

TopLayers = Annotated[
    int, Field(ge=1, le=64, description="Layers trained from the top (the output side).")
]
BottomLayers = Annotated[
    int, Field(ge=1, le=64, description="Layers trained from the bottom (the input side).")
]
Probability = Annotated[
    float, Field(ge=0, le=1, description="Probability that a draw trains the bottom layers too.")
]
DrawEvery = Annotated[
    Span,
    Field(
        description='How long drawn layers train: `{"epochs": n}` or `{"steps": n}`; then they are '
        "drawn again."
    ),
]
EACH_EPOCH = EpochSpan(epochs=1)
LISA_PERIOD = StepSpan(steps=20)
MAX_ROWS = 1_000
"""The most rows of a table of layers."""


class FullPolicy(SpecModel):
    """Every layer in every epoch: vanilla SGD."""

    name: Literal["full"] = "full"


class TopKPolicy(SpecModel):
    """The top k layers in every epoch."""

    name: Literal["top_k"] = "top_k"
    k: TopLayers = 1


class BottomQPolicy(SpecModel):
    """The bottom q layers in every epoch."""

    name: Literal["bottom_q"] = "bottom_q"
    q: BottomLayers = 1


class TopKBottomQPolicy(SpecModel):
    """The union of the top k and the bottom q layers in every epoch."""

    name: Literal["top_k_bottom_q"] = "top_k_bottom_q"
    k: TopLayers = 1
    q: BottomLayers = 1


class MiddlePolicy(SpecModel):
    """All layers except the top one and the bottom one."""

    name: Literal["middle"] = "middle"


class ProbTopKBottomQPolicy(SpecModel):
    """The top k layers in every epoch; with probability rho also the bottom q layers."""

    name: Literal["prob_top_k_bottom_q"] = "prob_top_k_bottom_q"
    k: TopLayers = 1
    q: BottomLayers = 1
    rho: Probability = 0.1
    draw_every: DrawEvery = EACH_EPOCH


class TopKAllBottomsPolicy(SpecModel):
    """The top k layers in every epoch; with probability rho the whole net."""

    is_default_variant: ClassVar[bool] = True

    name: Literal["top_k_all_bottoms"] = "top_k_all_bottoms"
    k: TopLayers = 1
    rho: Probability = 0.1
    draw_every: DrawEvery = EACH_EPOCH


class RandomUniformPolicy(SpecModel):
    """The top k layers, k drawn uniformly from {1..d} each epoch, d being the number of layers.

    The paper says d is the depth. Elsewhere its depth counts hidden layers only (Section 3), but
    its times fit k up to 11 in VGG-11: Random-Uniform and Random-Beta would then take 0.44 and 0.16
    of the time of full, and 0.38 and 0.14 if the bottom layer never trained; Table 1 has 0.45 and
    0.16 (docs/decisions/0008).
    """

    name: Literal["random_uniform"] = "random_uniform"
    draw_every: DrawEvery = EACH_EPOCH


class RandomBetaPolicy(SpecModel):
    """The top k layers, k = round(1 + (d - 1) b) with b ~ Beta(alpha, beta) drawn each epoch.

    d is the number of layers, as in `random_uniform`.
    """

    name: Literal["random_beta"] = "random_beta"
    alpha: float = Field(2.0, gt=0, le=100, description="First parameter of the beta distribution.")
    beta: float = Field(5.0, gt=0, le=100, description="Second parameter of the beta distribution.")
    draw_every: DrawEvery = EACH_EPOCH


class LisaPolicy(SpecModel):
    """The bottom and the top layer always, and m of the middle layers, drawn again and again.

    LISA (arXiv 2403.17919): every draw takes m middle layers, all equally likely. The defaults are
    those of the authors' published script for LMFlow: one layer, 20 steps. Here the optimiser's
    moments of a layer that freezes are kept for its next turn.
    """

    name: Literal["lisa"] = "lisa"
    m: int = Field(1, ge=1, le=64, description="Middle layers that train at a time.")
    draw_every: DrawEvery = LISA_PERIOD


class FreezeOutPolicy(SpecModel):
    """Each layer's learning rate falls to 0 by a cosine at its own time, and the layer freezes.

    FreezeOut (arXiv 1706.04983). Layer i of L, counted from 0 at the bottom, freezes after the
    share t_i of the training: t_i = t0 + (1 - t0) i / (L - 1), or that cubed; the top layer trains
    to the end. Scaled learning rates start at lr / t_i, so that every layer has the same sum of
    rates. The defaults are those of the author's code. It needs the schedule `cosine`, whose time
    it shortens for each layer; with t0 = 1 it is full training.
    """

    name: Literal["freeze_out"] = "freeze_out"
    t0: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Share of the training after which the bottom layer freezes, before it is "
        "cubed.",
    )
    spacing: Literal["cubic", "linear"] = Field(
        "cubic", description="`cubic` cubes the shares, `linear` does not."
    )
    scaled: bool = Field(
        True, description="Whether a layer's learning rate starts at lr divided by its share."
    )


class FreezeBottomUpPolicy(SpecModel):
    """All layers at first; then one after the other freezes, from the bottom; the top never does.

    Freeze Training (SVCCA, arXiv 1706.05806), which rests on the finding that layers converge from
    the bottom up. The times at which layers freeze are ours: without `every`, layer i of L, counted
    from 0, freezes after the share (i + 1) / L of the epochs, rounded up.
    """

    name: Literal["freeze_bottom_up"] = "freeze_bottom_up"
    every: Span | None = Field(
        None,
        description='One more layer freezes after each `{"epochs": n}` or `{"steps": n}`; null '
        "spreads them evenly over the training.",
    )


class GradualUnfreezePolicy(SpecModel):
    """The top layer at first; then one more joins, from the top down, until all train.

    Gradual unfreezing (ULMFiT, arXiv 1801.06146), where a layer joins after each epoch.
    """

    name: Literal["gradual_unfreeze"] = "gradual_unfreeze"
    every: Span = Field(
        EACH_EPOCH,
        description='One more layer joins after each `{"epochs": n}` or `{"steps": n}`.',
    )


class ScheduleRow(SpecModel):
    """The layers that train from an epoch on."""

    epoch: int = Field(ge=1, le=10_000, description="The first of these epochs; 1 is the first.")
    layers: Annotated[
        Annotated[Literal["all"], WORD]
        | Annotated[
            Many[Annotated[int, Field(ge=0, le=9_999)]], Field(min_length=1), unordered(), LIST
        ],
        one_of('"all", or a list of indices of layers', "all"),
    ] = Field("all", description="Layers counted from 0 at the bottom, or `all`.")


class SchedulePolicy(SpecModel):
    """The layers that a table names: each row holds from its epoch until that of the next."""

    name: Literal["schedule"] = "schedule"
    table: Many[ScheduleRow] = Field(
        (ScheduleRow(epoch=1),),
        min_length=1,
        max_length=MAX_ROWS,
        description="Rows by ascending epoch, the first at epoch 1.",
    )

    @model_validator(mode="after")
    def _epochs_ascend_from_one(self) -> Self:
        epochs = [row.epoch for row in self.table]
        errors = [
            FieldError(f"table/{error.pointer}/epoch", error.code, error.detail)
            for error in find_not_ascending(epochs)
        ]
        if epochs[0] != 1:
            detail = f"the first row begins at epoch {epochs[0]:,}; let it begin at epoch 1"
            errors.insert(0, FieldError("table/0/epoch", "not-first-epoch", detail))
        refuse(type(self), errors)
        return self


class BiasPolicy(SpecModel):
    """Only biases and shifts, and with `head` the whole top layer.

    BitFit (arXiv 2106.10199), where the classifier trains too.
    """

    name: Literal["bias"] = "bias"
    head: bool = Field(True, description="Whether the whole top layer trains too.")


class NormPolicy(SpecModel):
    """Only scales and shifts of normalisations, and with `head` the whole top layer.

    As in arXiv 2003.00152, where nothing but batch normalisation trains.
    """

    name: Literal["norm"] = "norm"
    head: bool = Field(False, description="Whether the whole top layer trains too.")


FieldPolicy = (
    LisaPolicy
    | FreezeOutPolicy
    | FreezeBottomUpPolicy
    | GradualUnfreezePolicy
    | SchedulePolicy
    | BiasPolicy
    | NormPolicy
)
"""Policies that the paper does not have."""
PolicySpec = Annotated[
    FullPolicy
    | TopKPolicy
    | BottomQPolicy
    | TopKBottomQPolicy
    | MiddlePolicy
    | ProbTopKBottomQPolicy
    | TopKAllBottomsPolicy
    | RandomUniformPolicy
    | RandomBetaPolicy
    | FieldPolicy,
    Field(discriminator="name"),
]
GroupPolicy = BiasPolicy | NormPolicy
"""Policies that train some parameters of a layer."""

STATIC_POLICIES = frozenset({"full", "top_k", "bottom_q", "top_k_bottom_q", "middle"})
"""Policies that train the same layers in every epoch, for every seed."""


def title_of(policy: PolicySpec) -> str:
    """The policy's name in the paper with its numbers, e.g. `Top 1 All Bottoms (rho = 0.1)`."""
    numbers = list(_numbers_of(policy))
    return f"{family_of(policy)} ({', '.join(numbers)})" if numbers else family_of(policy)


def _numbers_of(policy: PolicySpec) -> Iterator[str]:
    """What the title adds to the family: rho, and what is not as in the paper or the source."""
    rho = getattr(policy, "rho", None)
    if rho is not None:
        yield f"rho = {format_number(rho)}"
    if isinstance(policy, FreezeOutPolicy):
        yield f"t0 = {format_number(policy.t0)}"
        if policy.spacing != "cubic":
            yield policy.spacing
        if not policy.scaled:
            yield "unscaled"
    every = getattr(policy, "draw_every", None) or getattr(policy, "every", None)
    if every is not None and every != EACH_EPOCH:
        yield (
            f"every {every.steps:,} steps"
            if isinstance(every, StepSpan)
            else (f"every {every.epochs:,} epochs")
        )


def family_of(policy: PolicySpec) -> str:
    """The policy's name in the paper without rho, e.g. `Top 1 All Bottoms`."""
    match policy:
        case FullPolicy():
            return "Full"
        case TopKPolicy(k=k):
            return f"Top {k}"
        case BottomQPolicy(q=q):
            return f"Bottom {q}"
        case TopKBottomQPolicy(k=k, q=q) | ProbTopKBottomQPolicy(k=k, q=q):
            return f"Top {k} Bottom {q}"
        case MiddlePolicy():
            return "Middle Only"
        case TopKAllBottomsPolicy(k=k):
            return f"Top {k} All Bottoms"
        case RandomUniformPolicy():
            return "Random-Uniform"
        case RandomBetaPolicy(alpha=alpha, beta=beta):
            return (
                "Random-Beta"
                if (alpha, beta) == (2.0, 5.0)
                else f"Random-Beta({format_number(alpha)}, {format_number(beta)})"
            )
        case LisaPolicy(m=m):
            return f"LISA {m}"
        case FreezeOutPolicy():
            return "FreezeOut"
        case FreezeBottomUpPolicy():
            return "Freeze Bottom-Up"
        case GradualUnfreezePolicy():
            return "Gradual Unfreezing"
        case SchedulePolicy(table=table):
            return f"Schedule of {len(table)} {'row' if len(table) == 1 else 'rows'}"
        case BiasPolicy(head=head):
            return "Biases and Top" if head else "Biases Only"
        case NormPolicy(head=head):
            return "Norms and Top" if head else "Norms Only"


def check_policy(
    policy: PolicySpec, num_layers: int, pointer: str = "#/spec/policy"
) -> list[FieldError]:
    """The errors of the policy for a net of `num_layers` layers."""
    errors = [
        _beyond(
            f"{pointer}/{field}", f"at most {num_layers}, the number of the net's layers", value
        )
        for field in ("k", "q")
        if (value := getattr(policy, field, None)) is not None and value > num_layers
    ]
    if isinstance(policy, MiddlePolicy | LisaPolicy) and num_layers < 3:
        errors.append(
            FieldError(
                f"{pointer}/name",
                "no-middle",
                f"a net of {num_layers} layers has no middle layer; `{policy.name}` needs at least "
                "3",
            )
        )
    elif isinstance(policy, LisaPolicy) and policy.m > num_layers - 2:
        most = f"at most {num_layers - 2}, the number of the net's middle layers"
        errors.append(_beyond(f"{pointer}/m", most, policy.m))
    if isinstance(policy, SchedulePolicy):
        most = f"at most {num_layers - 1}, the net's top layer"
        errors += [
            _beyond(f"{pointer}/table/{row}/layers/{place}", most, layer)
            for row, entry in enumerate(policy.table)
            if entry.layers != "all"
            for place, layer in enumerate(entry.layers)
            if layer >= num_layers
        ]
    return errors


def _beyond(pointer: str, bound: str, value: int) -> FieldError:
    return FieldError(pointer, "beyond-the-net", f"must be {bound} (got {value})")


def check_group(
    policy: PolicySpec, layers: Sequence[LayerLayout], pointer: str = "#/spec/policy"
) -> list[FieldError]:
    """An error where the net has none of the parameters that the policy trains."""
    if not isinstance(policy, GroupPolicy) or any(list_group(policy, layers)):
        return []
    what = "biases" if isinstance(policy, BiasPolicy) else "normalisations"
    detail = f"the net has no {what}; choose a net that has, or another policy"
    return [FieldError(f"{pointer}/name", "no-such-parameters", detail)]


def list_group(policy: GroupPolicy, layers: Sequence[LayerLayout]) -> list[frozenset[str]]:
    """The names of the parameters of each layer that train, bottom first.

    A scale is a weight of one dimension; a shift is the bias beside it.
    """
    scales = {
        one.name
        for layer in layers
        for one in layer.parameters
        if _leaf(one.name) == "weight" and len(one.shape) == 1
    }
    groups = []
    for layer in layers:
        names = [one.name for one in layer.parameters]
        if isinstance(policy, BiasPolicy):
            chosen = {name for name in names if _leaf(name) == "bias"}
        else:
            chosen = {name for name in names if f"{name.rpartition('.')[0]}.weight" in scales}
        groups.append(frozenset(names if policy.head and layer is layers[-1] else chosen))
    return groups


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
