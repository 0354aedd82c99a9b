"""Policies and schedules: which layers train in which epoch (paper, Section 6). Imports no torch.

A policy is part of the spec. A schedule is drawn from it for one seed, in full, before training
starts. Layers are indices from the bottom: 0 takes the images, `num_layers - 1` gives the logits.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from engine.errors import FieldError
from engine.labels import format_number
from engine.seeds import derive_seed
from engine.spec_model import SpecModel

TopLayers = Annotated[
    int, Field(ge=1, le=64, description="Layers trained from the top (the output side).")
]
BottomLayers = Annotated[
    int, Field(ge=1, le=64, description="Layers trained from the bottom (the input side).")
]
Probability = Annotated[
    float, Field(ge=0, le=1, description="Probability that an epoch trains the bottom layers too.")
]


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


class TopKAllBottomsPolicy(SpecModel):
    """The top k layers in every epoch; with probability rho the whole net."""

    name: Literal["top_k_all_bottoms"] = "top_k_all_bottoms"
    k: TopLayers = 1
    rho: Probability = 0.1


class RandomUniformPolicy(SpecModel):
    """The top k layers, k drawn uniformly from {1..d} each epoch, d being the number of layers.

    The paper says d is the depth. Elsewhere its depth counts hidden layers only (Section 3), but
    its times fit k up to 11 in VGG-11: Random-Uniform and Random-Beta would then take 0.44 and 0.16
    of the time of full, and 0.38 and 0.14 if the bottom layer never trained; Table 1 has 0.45 and
    0.16 (docs/decisions/0008).
    """

    name: Literal["random_uniform"] = "random_uniform"


class RandomBetaPolicy(SpecModel):
    """The top k layers, k = round(1 + (d - 1) b) with b ~ Beta(alpha, beta) drawn each epoch.

    d is the number of layers, as in `random_uniform`.
    """

    name: Literal["random_beta"] = "random_beta"
    alpha: float = Field(2.0, gt=0, le=100, description="First parameter of the beta distribution.")
    beta: float = Field(5.0, gt=0, le=100, description="Second parameter of the beta distribution.")


PolicySpec = Annotated[
    FullPolicy
    | TopKPolicy
    | BottomQPolicy
    | TopKBottomQPolicy
    | MiddlePolicy
    | ProbTopKBottomQPolicy
    | TopKAllBottomsPolicy
    | RandomUniformPolicy
    | RandomBetaPolicy,
    Field(discriminator="name"),
]

STATIC_POLICIES = frozenset({"full", "top_k", "bottom_q", "top_k_bottom_q", "middle"})
"""Policies that train the same layers in every epoch, for every seed."""


def title_of(policy: PolicySpec) -> str:
    """The policy's name in the paper, e.g. `Top 1 All Bottoms (rho = 0.1)`."""
    rho = getattr(policy, "rho", None)
    return family_of(policy) if rho is None else f"{family_of(policy)} (rho = {format_number(rho)})"


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


@dataclass(frozen=True, slots=True)
class EpochSchedule:
    """The layers that train in each epoch; epochs count from 0."""

    num_layers: int
    trained: tuple[frozenset[int], ...]
    """One set of layer indices per epoch, none empty."""

    def __post_init__(self) -> None:
        assert all(
            layers and min(layers) >= 0 and max(layers) < self.num_layers for layers in self.trained
        ), "every epoch trains at least one layer of the net"

    @property
    def num_epochs(self) -> int:
        return len(self.trained)

    def lowest(self, epoch: int) -> int:
        """The lowest layer that trains in this epoch.

        Backward stops there, and all layers below it are constant.
        """
        return min(self.trained[epoch])

    @property
    def is_full(self) -> bool:
        """Whether every layer trains in every epoch: vanilla SGD."""
        return all(len(layers) == self.num_layers for layers in self.trained)

    def count_epochs_by_lowest_layer(self) -> tuple[int, ...]:
        """For each layer, bottom first: in how many epochs it is the lowest one trained."""
        counts = Counter(map(min, self.trained))
        return tuple(counts[layer] for layer in range(self.num_layers))

    def to_json(self) -> dict[str, Any]:
        """The schedule as JSON: `{"num_layers": 3, "trained_layers": [[2], [0, 1, 2], ...]}`."""
        return {
            "num_layers": self.num_layers,
            "trained_layers": [sorted(layers) for layers in self.trained],
        }


def draw_schedule(policy: PolicySpec, num_layers: int, epochs: int, seed: int) -> EpochSchedule:
    """The schedule of `policy` for one seed: a pure function of its arguments.

    The draws of a seed do not depend on rho, k or q: an epoch that trains the bottom layers at rho
    = 0.1 also does so at every larger rho. Raises AssertionError for k or q beyond the net;
    `check_policy` reports these to the user.
    """
    assert not check_policy(policy, num_layers), "a spec is checked before it is run"
    generator = random.Random(derive_seed(seed, "policy"))  # noqa: S311 - seeded, not secret  # nosec B311
    draw = _epoch_drawer(policy, num_layers, generator)
    return EpochSchedule(num_layers, tuple(draw() for _ in range(epochs)))


def check_policy(
    policy: PolicySpec, num_layers: int, pointer: str = "#/spec/policy"
) -> list[FieldError]:
    """The errors of the policy for a net of `num_layers` layers."""
    errors = [
        FieldError(
            f"{pointer}/{field}",
            "beyond-the-net",
            f"must be at most {num_layers}, the number of the net's layers (got {value})",
        )
        for field in ("k", "q")
        if (value := getattr(policy, field, None)) is not None and value > num_layers
    ]
    if isinstance(policy, MiddlePolicy) and num_layers < 3:
        errors.append(
            FieldError(
                f"{pointer}/name",
                "no-middle",
                f"a net of {num_layers} layers has no middle layer; `middle` needs at least 3",
            )
        )
    return errors


def _epoch_drawer(
    policy: PolicySpec, num_layers: int, generator: random.Random
) -> Callable[[], frozenset[int]]:
    def top(k: int) -> frozenset[int]:
        return frozenset(range(num_layers - k, num_layers))

    def bottom(q: int) -> frozenset[int]:
        return frozenset(range(q))

    every = bottom(num_layers)
    match policy:
        case FullPolicy():
            return lambda: every
        case TopKPolicy(k=k):
            return lambda: top(k)
        case BottomQPolicy(q=q):
            return lambda: bottom(q)
        case TopKBottomQPolicy(k=k, q=q):
            return lambda: top(k) | bottom(q)
        case MiddlePolicy():
            return lambda: frozenset(range(1, num_layers - 1))
        case ProbTopKBottomQPolicy(k=k, q=q, rho=rho):
            return lambda: top(k) | bottom(q) if generator.random() < rho else top(k)
        case TopKAllBottomsPolicy(k=k, rho=rho):
            return lambda: every if generator.random() < rho else top(k)
        case RandomUniformPolicy():
            return lambda: top(1 + int(generator.random() * num_layers))
        case RandomBetaPolicy(alpha=alpha, beta=beta):
            return lambda: top(round(1 + (num_layers - 1) * generator.betavariate(alpha, beta)))
