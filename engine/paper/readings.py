"""Readings of the paper: what each takes its open choices to be. Imports no torch and no kind.

The paper leaves open what "initial" means in Section 4, and at some printed choices its nets hardly
train. A reading names one set of choices; its results stand beside those of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from engine.optim.spec import AdamSpec
from engine.paper.departures import find_recipe
from engine.spec import ExperimentSpec

ReadingName = Literal["printed", "trainable", "first_epoch", "few_steps"]
Pixels = Literal["standardize", "unit"]
INITIAL_NET: dict[str, Any] = {"name": "init"}


@dataclass(frozen=True, slots=True)
class Reading:
    """One set of choices."""

    name: ReadingName
    sentence: str
    """Why this reading, in one sentence."""
    adam_lr: float
    """Adam's learning rate, in the figures for which the paper prints Adam."""
    normalization: Pixels
    """The field `data.normalization`."""
    reset_to: dict[str, Any]
    """The field `reset_to` of a re-initialisation sweep: what the paper calls initial."""
    as_printed: bool = False
    """Whether optimiser and schedule are those printed for the net, in every field."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that it sets, where the kind has them; `optimizer.lr` of Adam only."""
        return {
            "optimizer.lr": self.adam_lr,
            "data.normalization": self.normalization,
            "reset_to": self.reset_to,
        }

    @property
    def initial_net(self) -> str:
        """The net that it calls initial."""
        match self.reset_to:
            case {"name": "epoch", "epoch": epoch}:
                return f"net after epoch {epoch}"
            case {"name": "step", "step": step}:
                return f"net after {step} steps"
        return "initial net"


READINGS: tuple[Reading, ...] = (
    Reading(
        "printed",
        "The text taken at its word: Adam's learning rate is 0.1, and initial means before the "
        "first step.",
        0.1,
        "unit",
        INITIAL_NET,
        as_printed=True,
    ),
    Reading(
        "trainable",
        "As printed but for a learning rate of 0.001 and standardised pixels, with which all nets "
        "of the paper train.",
        0.001,
        "standardize",
        INITIAL_NET,
    ),
    Reading(
        "first_epoch",
        "Initial means after the first epoch; in nets of one hidden layer and width 100 or 1,000, "
        "accuracy then falls and rises again as more is reset.",
        0.001,
        "unit",
        {"name": "epoch", "epoch": 1},
    ),
    Reading(
        "few_steps",
        "Initial means after 20 steps, which is nearer to the start than the first epoch.",
        0.001,
        "unit",
        {"name": "step", "step": 20},
    ),
)
assert {one.name for one in READINGS} == set(get_args(ReadingName))


def get_reading(name: ReadingName) -> Reading:
    return next(one for one in READINGS if one.name == name)


def find_reading(spec: ExperimentSpec) -> ReadingName | None:
    """The first reading whose choices the spec makes; None for other choices.

    A kind without `reset_to` that compares nets with the initial one (`train`) uses the net before
    the first step. For kinds that compare with no such net, the other choices decide.
    """
    return next((one.name for one in READINGS if _makes_choices(spec, one)), None)


def _makes_choices(spec: ExperimentSpec, reading: Reading) -> bool:
    if spec.data.normalization != reading.normalization:
        return False
    if spec.uses_initial_net and _reset_of(spec) != reading.reset_to:
        return False
    recipe = find_recipe(spec)
    if reading.as_printed:
        return (spec.optimizer, spec.schedule) == (recipe.optimizer, recipe.schedule)
    is_adam = isinstance(recipe.optimizer, AdamSpec)
    wanted = (recipe.optimizer.name, reading.adam_lr if is_adam else recipe.optimizer.lr)
    return (spec.optimizer.name, spec.optimizer.lr) == wanted


def _reset_of(spec: ExperimentSpec) -> dict[str, Any]:
    chosen = getattr(spec, "reset_to", None)
    return INITIAL_NET if chosen is None else chosen.model_dump(mode="json")
