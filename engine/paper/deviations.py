"""How the paper trains (Section 3), and where an experiment departs from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.optim.spec import AdamSpec, ConstantSpec, SgdSpec, StepSpec
from engine.spec import ExperimentSpec

PAPER_SEEDS = 5
PAPER_BATCH_SIZE = 128


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the paper trains on one data set."""

    data: str
    train_size: int | None
    """None for all images."""
    optimizer: AdamSpec | SgdSpec
    schedule: ConstantSpec | StepSpec
    epochs: int


_MNIST = Recipe("mnist", 10_000, AdamSpec(lr=0.1), ConstantSpec(), 100)
_CIFAR10 = Recipe(
    "cifar10",
    None,
    SgdSpec(lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4),
    StepSpec(every_epochs=30, factor=0.5),
    180,
)
RECIPES: Mapping[str, Recipe] = {
    "mnist": _MNIST,
    "fashion_mnist": Recipe("fashion_mnist", 10_000, _MNIST.optimizer, _MNIST.schedule, 100),
    "cifar10": _CIFAR10,
}
_TRAINED_ON: Mapping[str, tuple[str, ...]] = {
    "relu_net": ("mnist", "fashion_mnist"),
    "conv_net": ("mnist", "fashion_mnist"),
    "vgg5": ("mnist",),
    "vgg11": ("cifar10",),
    "resnet18": ("cifar10",),
}
_FULL_SIZES = {"cifar10": 50_000}
_FULL_TEST_SIZE = 10_000


def list_deviations(specs: Iterable[ExperimentSpec], num_seeds: int) -> tuple[str, ...]:
    """What differs from the paper in these points, each difference once; empty for none."""
    found: dict[str, None] = {}
    for spec in specs:
        for line in _deviations_of(spec):
            found[line] = None
    if num_seeds < PAPER_SEEDS:
        found[f"{num_seeds} {'seed' if num_seeds == 1 else 'seeds'} instead of {PAPER_SEEDS}"] = (
            None
        )
    return tuple(found)


def find_recipe(spec: ExperimentSpec) -> Recipe:
    """How the paper trains this net on this data set; on another data set, its first recipe."""
    datasets = _TRAINED_ON[spec.model.name]
    return RECIPES[spec.data.name if spec.data.name in datasets else datasets[0]]


def _deviations_of(spec: ExperimentSpec) -> list[str]:
    recipe = find_recipe(spec)
    datasets = _TRAINED_ON[spec.model.name]
    return [*_data_deviations(spec, datasets, recipe), *_training_deviations(spec, recipe)]


def _data_deviations(spec: ExperimentSpec, datasets: tuple[str, ...], recipe: Recipe) -> list[str]:
    found = []
    data = spec.data
    if data.name not in datasets:
        found.append(f"data set {data.name} instead of {' or '.join(datasets)}")
    else:
        wanted = recipe.train_size or _FULL_SIZES[recipe.data]
        used = data.train_size or _FULL_SIZES.get(data.name, 60_000)
        if used != wanted:
            found.append(f"{used:,} train images instead of {wanted:,}")
        if (data.test_size or _FULL_TEST_SIZE) != _FULL_TEST_SIZE:
            found.append(f"{data.test_size:,} test images instead of {_FULL_TEST_SIZE:,}")
    if data.augmentation != "none":
        found.append("random crop and flip, of which the paper says nothing")
    multiplier = getattr(spec.model, "width_multiplier", 1.0)
    if multiplier != 1.0:
        found.append(f"{spec.model.name} at {multiplier:g} of its width")
    if getattr(spec.init, "gain", 1.0) != 1.0:
        found.append(f"initialisation scaled by {getattr(spec.init, 'gain', 1.0):g}")
    if spec.init.name == "checkpoint":
        found.append("started from a checkpoint")
    return found


def _training_deviations(spec: ExperimentSpec, recipe: Recipe) -> list[str]:
    found = []
    if spec.optimizer != recipe.optimizer:
        found.append(_optimizer_deviation(spec.optimizer, recipe.optimizer))
    if spec.schedule != recipe.schedule:
        found.append(
            f"{_describe_schedule(spec.schedule)} instead of {_describe_schedule(recipe.schedule)}"
        )
    if spec.epochs != recipe.epochs:
        found.append(f"{spec.epochs} epochs instead of {recipe.epochs}")
    if spec.batch_size != PAPER_BATCH_SIZE:
        found.append(f"batches of {spec.batch_size} instead of {PAPER_BATCH_SIZE}")
    return found


def _optimizer_deviation(ours: AdamSpec | SgdSpec, paper: AdamSpec | SgdSpec) -> str:
    if ours.name == paper.name and ours.lr != paper.lr:
        return f"{_optimizer_name(ours)} at learning rate {ours.lr:g} instead of {paper.lr:g}"
    if ours.name != paper.name:
        return (
            f"{_optimizer_name(ours)} at learning rate {ours.lr:g} instead of "
            f"{_optimizer_name(paper)} at {paper.lr:g}"
        )
    changed = sorted(name for name, value in _fields(paper).items() if getattr(ours, name) != value)
    return f"{_optimizer_name(ours)} with " + ", ".join(
        f"{name} {getattr(ours, name)} instead of {getattr(paper, name)}" for name in changed
    )


def _fields(optimizer: AdamSpec | SgdSpec) -> Mapping[str, Any]:
    return optimizer.model_dump(mode="python")


def _optimizer_name(optimizer: AdamSpec | SgdSpec) -> str:
    return "Adam" if isinstance(optimizer, AdamSpec) else "SGD"


def _describe_schedule(schedule: ConstantSpec | StepSpec) -> str:
    if isinstance(schedule, ConstantSpec):
        return "a constant learning rate"
    return f"a learning rate times {schedule.factor:g} every {schedule.every_epochs} epochs"
