"""Plan which activations below the trained layers to cache. Imports no torch.

*Level* c is the input of layer c. While only layers >= c train, and nothing below c is random,
level c is constant for each image: the first epoch of such a period computes it anyway and stores
it, the others read it. Epoch t can start its forward pass at min(lowest layer trained in t - 1,
lowest layer trained in t), and the evaluation after it at the latter, as the whole schedule is
known before training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.models.layout import LayerLayout
from engine.training.layer_schedule import LayerSchedule

BYTES_PER_FLOAT = 4

Part = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class PrefixPlan:
    """The levels to cache of the train set and of the test set."""

    schedule: LayerSchedule
    train_levels: frozenset[int] = frozenset()
    test_levels: frozenset[int] = frozenset()
    num_bytes: int = 0
    """Memory of all cached levels."""
    notes: tuple[str, ...] = ()
    """Why a cache that would save work is not used, or only partly."""

    def find_needed(self, part: Part) -> tuple[frozenset[int], ...]:
        """The cached levels that a later epoch (train) or evaluation (test) reads unchanged.

        Item 0 is for the initialisation, item t + 1 for epoch t.
        """
        levels = self.train_levels if part == "train" else self.test_levels
        limits = _limits(self.schedule, part)
        needed = [frozenset[int]()]
        for epoch in reversed(range(self.schedule.num_epochs)):
            alive = needed[-1] | {_highest(levels, limits[epoch])} - {0}
            needed.append(
                frozenset(level for level in alive if level <= self.schedule.lowest(epoch))
            )
        return tuple(reversed(needed))


def plan_prefix(
    schedule: LayerSchedule,
    layers: Sequence[LayerLayout],
    *,
    train_size: int,
    test_size: int,
    budget_bytes: int,
    augmented: bool,
    frozen_in_eval: bool = False,
    count_stable_layers: Callable[[], int],
) -> PrefixPlan:
    """The levels that save the most forward arithmetic within the byte budget.

    layers: of the net, bottom first. augmented: whether train images change from epoch to epoch.
    frozen_in_eval: whether frozen layers run as in evaluation, so that neither batch normalisation
    nor dropout changes what they compute. count_stable_layers: returns how many layers from the
    bottom give a row the same bits at any place in a train batch.
    """
    assert len(layers) == schedule.num_layers
    wanted = {part: set(_limits(schedule, part)) - {0} for part in _PARTS}
    if not any(wanted.values()):
        return PrefixPlan(schedule)
    notes = []
    if not frozen_in_eval:
        constant, reason = _count_constant_layers(layers, wanted)
        for part in _PARTS:
            wanted[part] = {min(level, constant[part]) for level in wanted[part]} - {0}
        if reason and not any(wanted.values()):
            return PrefixPlan(schedule, notes=(f"The frozen-prefix cache was not used: {reason}.",))
        if reason:
            notes.append(
                "The frozen-prefix cache kept activations of the lowest "
                f"{constant['train']} layers only: {reason}."
            )
    if augmented and wanted["train"]:
        wanted["train"] = set()
        notes.append(
            "The frozen-prefix cache was used for the test set only: augmentation changes the "
            "train images every epoch."
        )
    if wanted["train"] and max(wanted["train"]) > (stable := count_stable_layers()):
        wanted["train"] = {min(level, stable) for level in wanted["train"]} - {0}
        notes.append(
            f"The frozen-prefix cache kept train activations of the lowest {stable} layers only: "
            "above them the bits of a row depend on its place in the batch on this machine."
        )
    sizes: dict[Part, int] = {"train": train_size, "test": test_size}
    kept, num_bytes, complete = _choose_levels(schedule, layers, sizes, wanted, budget_bytes)
    if not complete:
        notes.append(
            "The frozen-prefix cache kept only part of what would save work: its budget is "
            f"{budget_bytes:,} bytes."
        )
    return PrefixPlan(
        schedule, frozenset(kept["train"]), frozenset(kept["test"]), num_bytes, notes=tuple(notes)
    )


_PARTS: tuple[Part, ...] = ("train", "test")


def _count_constant_layers(
    layers: Sequence[LayerLayout], wanted: Mapping[Part, set[int]]
) -> tuple[dict[Part, int], str]:
    """(How many layers from the bottom are constant while they are frozen, why not more).

    Frozen layers run as in training: batch normalisation also moves its running statistics, by
    which the test set is evaluated.
    """

    def first(changes: Callable[[LayerLayout], bool]) -> int:
        return next((index for index, one in enumerate(layers) if changes(one)), len(layers))

    normalised = first(lambda layer: layer.normalises_by_batch)
    random = first(lambda layer: layer.is_random)
    constant: dict[Part, int] = {"train": min(normalised, random), "test": normalised}
    if not any(max(wanted[part], default=0) > constant[part] for part in _PARTS):
        return constant, ""
    if normalised <= random:
        return constant, (
            "batch normalisation below the trained layers makes activations depend on the batch"
        )
    return constant, "layers below the trained ones draw random numbers, as dropout does"


def _limits(schedule: LayerSchedule, part: Part) -> list[int]:
    """For each epoch, the highest level at which the forward pass could start."""
    lowest = [schedule.lowest(epoch) for epoch in range(schedule.num_epochs)]
    return lowest if part == "test" else [0, *map(min, lowest, lowest[1:])]


def _highest(levels: frozenset[int] | set[int], limit: int) -> int:
    return max((level for level in levels if level <= limit), default=0)


def _choose_levels(
    schedule: LayerSchedule,
    layers: Sequence[LayerLayout],
    sizes: Mapping[Part, int],
    wanted: Mapping[Part, set[int]],
    budget_bytes: int,
) -> tuple[dict[Part, set[int]], int, bool]:
    """Choose greedily the level that saves most and still fits the budget.

    Returns (levels by part, their bytes, whether all wanted levels were chosen).
    """
    flops_below = [0]
    for layer in layers:
        flops_below.append(flops_below[-1] + layer.forward_flops)
    limits = {part: _limits(schedule, part) for part in _PARTS}
    kept: dict[Part, set[int]] = {"train": set(), "test": set()}
    open_levels = {(part, level) for part in _PARTS for level in wanted[part]}
    used, complete = 0, True

    def saving(part: Part, levels: set[int]) -> int:
        return sizes[part] * sum(flops_below[_highest(levels, limit)] for limit in limits[part])

    while open_levels:
        gains = {
            (part, level): saving(part, kept[part] | {level}) - saving(part, kept[part])
            for part, level in open_levels
        }
        part, level = max(open_levels, key=lambda item: (gains[item], item))
        open_levels.discard((part, level))
        needed = sizes[part] * layers[level - 1].activation_size * BYTES_PER_FLOAT
        if used + needed > budget_bytes:
            complete = False
            continue
        kept[part].add(level)
        used += needed
    return kept, used, complete
