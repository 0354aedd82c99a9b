"""Which activations are kept, computed by hand on small schedules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.data.spec import BUILTIN_DATASETS
from engine.models.layout import LayerLayout, layout
from engine.models.spec import ReluNetSpec
from engine.training.layer_schedule import EpochSchedule
from engine.training.prefix_plan import PrefixPlan, plan_prefix

LAYERS = layout(ReluNetSpec(width=10, depth=3), BUILTIN_DATASETS["digits"])
"""4 layers; each level takes 10 floats an image"""


NORMALISED = tuple(replace(layer, normalises_by_batch=True) for layer in LAYERS)


def schedule_of(*lowest: int) -> EpochSchedule:
    """Epochs that train everything from these layers up."""
    return EpochSchedule(4, tuple(frozenset(range(layer, 4)) for layer in lowest))


def plan(
    schedule: EpochSchedule, layers: tuple[LayerLayout, ...] = LAYERS, **settings: object
) -> PrefixPlan:
    defaults = {
        "train_size": 100,
        "test_size": 50,
        "budget_bytes": 10**9,
        "augmented": False,
        "count_stable_layers": lambda: 4,
    }
    return plan_prefix(schedule, layers, **{**defaults, **settings})  # type: ignore[arg-type]


def test_an_epoch_starts_at_the_lower_of_its_own_and_the_last_lowest_layer() -> None:
    kept = plan(schedule_of(0, 3, 3, 2, 3))
    assert kept.train_levels == {2, 3}  # read: epoch 2 at 3, epoch 3 at 2, epoch 4 at 2
    assert kept.find_needed("train") == (
        frozenset(),  # before training: epoch 0 moves every layer
        frozenset({2, 3}),  # after epoch 0, from which nothing could be kept: both levels moved
        frozenset({2, 3}),  # after epoch 1, which fills both
        frozenset({2}),  # level 3 has been read and is not read again
        frozenset({2}),
        frozenset(),
    )


def test_an_evaluation_starts_at_the_lowest_layer_of_its_epoch() -> None:
    kept = plan(schedule_of(0, 3, 3, 2, 3))
    assert kept.test_levels == {2, 3}
    # Evaluations 1 and 2 read level 3, evaluation 3 reads level 2; evaluation 4 reads level 3,
    # which evaluation 3 fills.
    assert kept.find_needed("test") == (
        frozenset(),
        frozenset({2, 3}),
        frozenset({2, 3}),
        frozenset({2}),
        frozenset({3}),
        frozenset(),
    )


def test_the_evaluation_at_initialisation_fills_what_static_training_reads() -> None:
    kept = plan(schedule_of(3, 3))
    assert kept.find_needed("test") == (frozenset({3}), frozenset({3}), frozenset())
    assert kept.find_needed("train") == (frozenset({3}), frozenset({3}), frozenset())


def test_vanilla_sgd_keeps_nothing_and_gives_no_notes() -> None:
    kept = plan(schedule_of(0, 0, 0), NORMALISED, augmented=True)
    assert (kept.train_levels, kept.test_levels, kept.num_bytes, kept.notes) == (
        frozenset(),
        frozenset(),
        0,
        (),
    )


def test_a_single_epoch_keeps_test_levels_alone() -> None:
    kept = plan(schedule_of(3))
    assert (kept.train_levels, kept.test_levels) == (frozenset(), frozenset({3}))


def test_the_budget_is_spent_on_what_saves_most_and_is_never_exceeded() -> None:
    schedule = schedule_of(3, 3, 1, 1, 1, 1)
    one_train_level = 100 * 10 * 4
    kept = plan(schedule, budget_bytes=one_train_level)
    # Level 1 lies above the dearest layer and serves every later epoch.
    assert kept.train_levels == {1}
    assert kept.num_bytes <= one_train_level
    assert "budget" in kept.notes[0]
    nothing = plan(schedule, budget_bytes=0)
    assert (nothing.train_levels, nothing.num_bytes) == (frozenset(), 0)
    everything = plan(schedule)
    assert everything.num_bytes == 2 * (one_train_level + one_train_level // 2)
    assert everything.notes == ()


def test_nothing_is_kept_where_activations_are_not_constant() -> None:
    assert plan(schedule_of(3, 3), NORMALISED).num_bytes == 0
    augmented = plan(schedule_of(3, 3), augmented=True)
    assert (augmented.train_levels, augmented.test_levels) == (frozenset(), frozenset({3}))


def test_train_levels_above_a_layer_with_unstable_bits_are_not_kept() -> None:
    kept = plan(schedule_of(3, 3, 3), count_stable_layers=lambda: 1)
    assert (kept.train_levels, kept.test_levels) == (frozenset({1}), frozenset({3}))
    assert "lowest 1 layers" in kept.notes[0]
    assert plan(schedule_of(3, 3, 3), count_stable_layers=lambda: 0).train_levels == frozenset()


@pytest.mark.parametrize("stable", [3, 4])
def test_stability_is_checked_only_up_to_the_level_that_is_kept(stable: int) -> None:
    assert plan(schedule_of(3, 3, 3), count_stable_layers=lambda: stable).notes == ()


def test_bytes_are_those_of_the_activations() -> None:
    wide = tuple(replace(layer, activation_size=1000) for layer in LAYERS)
    assert plan(schedule_of(3, 3), wide).num_bytes == (100 + 50) * 1000 * 4


def test_layers_above_the_first_batch_normalisation_are_not_constant() -> None:
    layers = (*LAYERS[:2], replace(LAYERS[2], normalises_by_batch=True), LAYERS[3])
    kept = plan(schedule_of(3, 3), layers)
    assert kept.train_levels == kept.test_levels == {2}
    assert kept.notes == (
        "The frozen-prefix cache kept activations of the lowest 2 layers only: batch normalisation "
        "below the trained layers makes activations depend on the batch.",
    )


def test_dropout_in_frozen_layers_changes_train_activations_only() -> None:
    layers = (LAYERS[0], replace(LAYERS[1], is_random=True), *LAYERS[2:])
    kept = plan(schedule_of(3, 3), layers)
    assert kept.train_levels == {1}
    assert kept.test_levels == {3}
    assert "draw random numbers" in kept.notes[0]


def test_frozen_layers_that_run_as_in_evaluation_are_constant() -> None:
    layers = tuple(replace(layer, normalises_by_batch=True, is_random=True) for layer in LAYERS)
    kept = plan(schedule_of(3, 3), layers, frozen_in_eval=True)
    assert kept.train_levels == kept.test_levels == {3}
    assert kept.notes == ()
