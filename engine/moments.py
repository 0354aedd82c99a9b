"""Moments of a training, as a spec names them: chosen epochs and steps. Imports no torch."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal

from pydantic import Field

from engine.spec_model import LIST, OBJECT, WORD, Many, SpecModel, one_of, unordered

Epochs = Annotated[int, Field(ge=1, le=10_000)]
Steps = Annotated[int, Field(ge=1, le=10**9)]


EpochList = Annotated[Many[Epochs], unordered()]
StepList = Annotated[Many[Steps], unordered()]


class EveryEpochs(SpecModel):
    """After every so many epochs."""

    every: int = Field(1, ge=1, le=10_000, description="Epochs from one moment to the next.")


EpochChoice = Annotated[
    Annotated[EveryEpochs, OBJECT] | Annotated[EpochList, LIST] | Annotated[Literal["log"], WORD],
    one_of('{"every": 5}, a list of epochs like [1, 5, 20], or "log"', "log"),
]
"""`log`: ten epochs a decade"""


def choose_epochs(choice: EpochChoice, epochs: int) -> frozenset[int]:
    """The chosen epochs of a training, always with its start, which is 0, and its end."""
    match choice:
        case EveryEpochs(every=every):
            chosen = set(range(every, epochs + 1, every))
        case "log":
            chosen = {round(10 ** (step / 10)) for step in range(41)}
        case named:
            chosen = set(named)
    return frozenset({0, epochs} | {one for one in chosen if one <= epochs})


def count_epochs(choice: EpochChoice, epochs: int) -> int:
    """The number of `choose_epochs`; it takes the same time for any number of epochs."""
    if isinstance(choice, EveryEpochs):
        return 1 + ceil(epochs / choice.every)
    return len(choose_epochs(choice, epochs))
