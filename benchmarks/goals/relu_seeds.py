"""Five seeds of a ReLU-Net compared with a typical script, both evaluated after every epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.baselines import user_script
from benchmarks.engine_runs import train_seeds
from benchmarks.figures import Figure, at_least
from benchmarks.images import user_images
from benchmarks.interleave import TimedRun, interleave, speed_up, timed
from benchmarks.options import Options

SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Case:
    width: int
    depth: int
    goal: float
    limit: str
    epochs: int
    """Epochs of the engine's training; the script trains one, because each takes equally long"""


CASES = (
    Case(10, 1, 40, "", 10),
    Case(100, 1, 30, "57 to 75 x", 10),
    Case(100, 4, 20, "", 10),
    Case(1_000, 1, 5, "7 x", 2),
)


def measure(options: Options) -> Iterator[Figure]:
    images = user_images(options)
    workers = _faster_workers(images, options)
    loaders = user_script.make_loaders(images, resident=False, num_workers=workers)
    resident = user_script.make_loaders(images, resident=True)
    for case in CASES:
        epochs = options.size(case.epochs, 1)
        found = interleave(
            {
                "engine": per_seed_epoch(options, case.width, case.depth, epochs),
                "script": timed(user_script.train, loaders, case.width, case.depth, 1),
                "resident": timed(user_script.train, resident, case.width, case.depth, 1),
            },
            options.rounds(5),
        )
        name = f"5 seeds, w={case.width:,} d={case.depth}"
        yield speed_up(
            name,
            found["engine"],
            found["script"],
            baseline=f"the user's script, DataLoader with {workers} workers, per seed and epoch",
            goal=at_least(case.goal),
            limit=case.limit,
            note=f"{options.data_description}, {len(images.y_train):,} training images, "
            f"{len(images.y_test):,} test images",
        )
        yield speed_up(
            name,
            found["engine"],
            found["resident"],
            baseline="the same script with its data in one tensor and no DataLoader",
        )


def per_seed_epoch(
    options: Options,
    width: int,
    depth: int,
    epochs: int,
    seeds: tuple[int, ...] = SEEDS,
    **execution: Any,
) -> TimedRun:
    """Seconds per seed and epoch of a training, with start, evaluation and saving of weights."""
    spec = {
        "data": options.digits(),
        "model": {"name": "relu_net", "width": width, "depth": depth},
        "epochs": epochs,
    }
    whole = timed(lambda: train_seeds(options, spec, seeds, **execution))
    return lambda: whole() / (len(seeds) * epochs)


def _faster_workers(images: user_script.Images, options: Options) -> int:
    """The number of DataLoader processes with which the script is faster on this machine."""
    candidates = {}
    for workers in (0, 2):
        loaders = user_script.make_loaders(images, resident=False, num_workers=workers)
        candidates[str(workers)] = timed(user_script.train, loaders, 100, 1, 1)
    found = interleave(candidates, options.rounds(2))
    return int(min(found, key=lambda name: min(found[name])))
