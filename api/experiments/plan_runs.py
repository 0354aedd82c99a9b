"""The runs of a plan: which seeds each computes, and what it needs of a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.shared_trainings import SharedTraining
from engine.spec import Execution, sha256_of
from engine.sweep import SweepPoint
from schemas.submission import Submission
from storage.database.engine import Session
from storage.experiments.create import PlannedRun
from storage.runs.placement import Needs, format_labels, round_up
from storage.runs.workers import count_free

DEVICE_CLASSES = {"auto": "any", "cpu": "cpu", "cuda": "gpu"}
SHORT_SECONDS = 1.0
"""Of a run with several seeds, by estimate: a shorter one gains too little from a second worker"""


@dataclass(frozen=True, slots=True)
class RunCost:
    """What a run takes, by estimate."""

    memory_bytes: int
    seconds_per_seed: float


def seeds_per_run(point: SweepPoint, submission: Submission, num_seeds: int) -> int:
    """Seeds that one run computes, of the `num_seeds` that are planned together.

    With `auto`: all of them where the net is stacked, else one.
    """
    execution: Execution = submission.execution
    if execution.seeds_per_run == "auto":
        return max(1, num_seeds) if point.spec.stacks_seeds(execution) else 1
    return execution.seeds_per_run


def plan_runs(
    session: Session,
    submission: Submission,
    wanted: Sequence[tuple[int, SweepPoint, Sequence[int], RunCost]],
    shared: Mapping[int, SharedTraining],
) -> list[PlannedRun]:
    """The runs for (index, point, seeds, cost), in the order in which they start.

    The order is seed by seed. So every point has a first result before any has a second, and runs
    that are compared by seed are computed at about the same time, which matters for their timings.

    With `seeds_per_run` of `auto`, stacked seeds are split over the workers that are free now: each
    seed has the same bits in a stack of any size.
    """
    runs = _plan_runs(submission, wanted, shared)
    if submission.execution.seeds_per_run != "auto":
        return runs
    pieces = _count_pieces(session, runs)
    return _plan_runs(submission, wanted, shared, pieces) if pieces > 1 else runs


def _count_pieces(session: Session, runs: Sequence[PlannedRun]) -> int:
    """How many free workers there are for each training of the runs, at least 1."""
    if not any(len(run.seeds) > 1 and run.seconds >= SHORT_SECONDS for run in runs):
        return 1
    needs = {run.needs for run in runs}
    free = sum(
        slots
        for capacity, slots in count_free(session).items()
        if all(capacity.fits(one) for one in needs)
    )
    trainings = {run.training or (run.point_index, run.seeds) for run in runs}
    return max(1, free // len(trainings))


def _plan_runs(
    submission: Submission,
    wanted: Sequence[tuple[int, SweepPoint, Sequence[int], RunCost]],
    shared: Mapping[int, SharedTraining],
    pieces: int = 1,
) -> list[PlannedRun]:
    """pieces: into how many runs the seeds of one are split, as evenly as they can be."""
    device_class = DEVICE_CLASSES[submission.execution.device]
    requires = format_labels(submission.execution.requires)
    runs = []
    for place, (index, point, seeds, cost) in enumerate(wanted):
        needs = Needs(device_class, round_up(cost.memory_bytes), requires)
        size = -(-seeds_per_run(point, submission, len(seeds)) // pieces)
        for start in range(0, len(seeds), size):
            chosen = tuple(seeds[start : start + size])
            training = None
            if place in shared:
                # With what it keeps: an extension that needs more waits for a training of its own.
                names = shared[place].checkpoints.names
                training = sha256_of([shared[place].digest, names, chosen])
            seconds = cost.seconds_per_seed * len(chosen)
            runs.append((start, PlannedRun(index, chosen, needs, training, seconds)))
    return [run for _, run in sorted(runs, key=lambda one: one[0])]
