"""Points of one experiment that train the same net: one of them trains it for all. No torch.

For instance the points of a sweep over `reset_to`, which differ in what they do with the net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.spec import Execution, ExperimentSpec, KeptCheckpoints


@dataclass(frozen=True, slots=True)
class SharedTraining:
    """The training that several points use."""

    digest: str
    """`ExperimentSpec.training_spec_digest`"""
    first_point: int
    """Place of the first of its points"""
    checkpoints: KeptCheckpoints
    """The moments that any of its points needs"""


def find_shared(
    specs: Sequence[ExperimentSpec], execution: Execution
) -> Mapping[int, SharedTraining]:
    """By place of the point: the training that it shares with others; without all other points."""
    places: dict[str, list[int]] = {}
    for place, spec in enumerate(specs):
        if spec.loads_trainings:
            places.setdefault(spec.training_spec_digest(execution), []).append(place)
    found: dict[int, SharedTraining] = {}
    for digest, members in places.items():
        if len(members) > 1:
            checkpoints = KeptCheckpoints().union(
                *(specs[place].kept_checkpoints() for place in members)
            )
            shared = SharedTraining(digest, members[0], checkpoints)
            found |= dict.fromkeys(members, shared)
    return found
